"""The report's parts as HTML. Everything that comes from data is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demos.summary import Row, agreement_text, percent, size_text
from export.gate import NO_GAIN, gain_in_words
from sdk.artifact import NOT_RUN
from sdk.results import Classification
from sdk.spec import Spec

_STEP_WORDS = {
    "colour_order": "Channels in the network's order ({channels})",
    "layout": "Channels first",
    "cast": "8-bit to 32-bit float",
    "normalise": "x = (value × {scale:.6g} − {mean}) ÷ {std}",
    "views": "The mean over the views {views}",
    "activation": "{activation} over {count} scores",
}


def tiles(pairs: Sequence[tuple[str, str]]) -> str:
    """Key figures: (value, caption) pairs."""
    items = (
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(text)}</span></div>' for value, text in pairs
    )
    return f'<div class="tiles">{"".join(items)}</div>'


def section(title: str, note: str, body: str) -> str:
    """A card with a heading and a sentence of explanation."""
    return f'<section><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{body}</section>'


def artifact_table(rows: Sequence[Row]) -> str:
    """The summary: a row per artifact."""
    body = "".join(_artifact_row(row) for row in rows)
    heads = ("File", "Size", "Accuracy", "Agreement", "Median", "Against its fp32 parent", "Status")
    return _table([(head, "number" if head in heads[1:5] else "") for head in heads], body)


def _artifact_row(row: Row) -> str:
    accuracy, median_ms, parity = row.accuracy, row.median_ms, row.parity
    interval = f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f} %" if accuracy else "not run"
    worst = f"worst difference {parity.worst_difference:.1e}" if parity else ""
    tail_ms = row.latency.p90.value_ms if row.latency else None
    tail = f"p90 {tail_ms:.3f}" if tail_ms else ""
    style = {"trained": "plain", NOT_RUN: "warn"}.get(row.status, "good")
    gained = gain_in_words(dict(row.facts)) or "–"
    return (
        f"<tr><td><b>{escape(row.file)}</b><small>{escape(row.engine)}</small></td>"
        f'<td class="number">{size_text(row.size_bytes)}</td>'
        f'<td class="number">{percent(accuracy.value) if accuracy else "–"}<small>{interval}</small></td>'
        f'<td class="number">{agreement_text(parity, row.status == "trained")}<small>{worst}</small></td>'
        f'<td class="number">{f"{median_ms:.3f} ms" if median_ms else "–"}<small>{tail}</small></td>'
        f"<td{' class=warn' if NO_GAIN in gained else ''}>{escape(gained)}</td>"
        f'<td><span class="badge {style}">{escape(row.status)}</span></td></tr>'
    )


def confusion_table(matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    """A heat map; rows are what the picture shows, columns what was said."""
    largest = max(int(matrix.max()), 1)
    head = "".join(f"<th scope='col'><span>{escape(label)}</span></th>" for label in labels)
    rows = []
    for label, counts in zip(labels, matrix, strict=True):
        tds = "".join(_heat_cell(int(count), largest) for count in counts)
        rows.append(f"<tr><th scope='row'>{escape(label)}</th>{tds}</tr>")
    return (
        f'<div class="scroll"><table class="confusion"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heat_cell(count: int, largest: int) -> str:
    if count == 0:
        return '<td class="zero">0</td>'
    # The square root keeps single mistakes visible beside a hundred hits.
    strength = (count / largest) ** 0.5
    kind = ' class="strong"' if strength > 0.6 else ""
    return f'<td{kind} style="background: rgb(var(--heat) / {strength:.2f})">{count}</td>'


def class_table(matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Precision, recall and F1 of each class."""
    rows = []
    for index, label in enumerate(labels):
        hits = float(matrix[index, index])
        precision = hits / max(float(matrix[:, index].sum()), 1.0)
        recall = hits / max(float(matrix[index].sum()), 1.0)
        f1 = 2 * precision * recall / max(precision + recall, 1e-12)
        numbers = "".join(f'<td class="number">{value:.3f}</td>' for value in (precision, recall, f1))
        rows.append(f"<tr><td>{escape(label)}</td>{numbers}</tr>")
    heads = [("Class", ""), ("Precision", "number"), ("Recall", "number"), ("F1", "number")]
    return _table(heads, "".join(rows))


def pictures(results: Sequence[Classification], truths: Sequence[str]) -> str:
    """Test pictures with what was said of them; mistakes stand out and name the truth."""
    return f'<div class="pictures">{"".join(map(_picture, results, truths))}</div>'


def _picture(result: Classification, truth: str) -> str:
    wrong = result.label != truth
    said = f"<b>{escape(result.label)}</b>{100 * result.score:.1f} %"
    said += f" · is {escape(truth)}" if wrong else ""
    kind = " class=wrong" if wrong else ""
    picture = f'<img alt="{escape(truth)}" src="{data_uri(result.source)}">'
    return f"<figure{kind}>{picture}<figcaption>{said}</figcaption></figure>"


def data_uri(image: Image.Image) -> str:
    """The picture as a PNG inside the page."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def contract(spec: Spec) -> str:
    """The spec in words, step by step, and as it is stored."""
    steps = [_step(False, text) for text in _host_steps(spec)]
    words = _step_values(spec)
    for name in (*spec.input.bakeable, *spec.output.bakeable):
        if name == "views" and spec.input.rows_per_item(()) == 1:
            continue
        steps.append(_step(name in spec.baked, _STEP_WORDS.get(name, name).format(**words)))
    steps.append(_step(False, f"The {words['top_k']} best of: {', '.join(words['labels'])}"))
    stored = f"<pre><code>{escape(spec.dumps())}</code></pre>"
    listed = f'<ol class="steps">{"".join(steps)}</ol>'
    return f"{listed}<details><summary>The same as JSON</summary>{stored}</details>"


def _host_steps(spec: Spec) -> list[str]:
    step = spec.input.to_json()
    wide, high = step["size_wh"]
    how = {
        "stretch": f"Stretch to {wide}×{high}",
        "letterbox": f"Fit into {wide}×{high} on rgb({', '.join(map(str, step['pad_colour']))})",
        "shortest": f"Shortest side to {step['shortest_px']}, then crop {wide}×{high} from the centre",
    }[step["resize"]]
    grey = "grey" if step["channels"] == "grey" else "RGB"
    return [f"Decode, turn upright by EXIF, convert to {grey}", f"{how}, {step['filter']} filter"]


def _step_values(spec: Spec) -> dict[str, Any]:
    given, read = spec.input.to_json(), spec.output.to_json()
    show = {key: ", ".join(f"{value:.4g}" for value in given[key]) for key in ("mean", "std")}
    return {**given, **read, **show, "count": len(read["labels"])}


def _step(in_graph: bool, text: str) -> str:
    badge = (
        '<span class="badge good">in graph</span>' if in_graph else '<span class="badge plain">on host</span>'
    )
    return f"<li>{badge}<span>{escape(text)}</span></li>"


def facts_table(facts: Mapping[str, str]) -> str:
    """Two columns: name and value."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    return _table([], rows)


def _table(heads: Sequence[tuple[str, str]], body: str) -> str:
    cells = "".join(f'<th scope="col" class="{kind}">{escape(text)}</th>' for text, kind in heads)
    head = f"<thead><tr>{cells}</tr></thead>" if heads else ""
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'

"""The quickstart's report: one HTML file that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demos import report_sections as parts
from demos.report_charts import curves_chart, latency_chart
from demos.summary import Row, percent
from sdk.atomic_write import atomic_write
from sdk.bench.page import page_style
from sdk.results import Classification
from sdk.spec import Spec

PICTURES_PER_CLASS = 1
MISTAKES_SHOWN = 8


@dataclass(frozen=True)
class Findings:
    """All that the report tells.

    Attributes:
        rows: A row per artifact, the checkpoint first.
        results: What the first exported artifact said of each test picture.
        truths: What each test picture shows: class indices, in the same order.
        history: Per epoch ``epoch``, and loss and accuracy with ``train_`` and ``val_`` in front.
        spec: The contract of the first exported artifact.
        shown_file: That artifact's name.
        environment: What it ran on, as name and value.
        data_note: Which data, whose, under which licence.
        train_seconds: Duration of the training.
        total_seconds: Duration of everything up to the report.
    """

    rows: Sequence[Row]
    results: Sequence[Classification]
    truths: Sequence[int]
    history: Sequence[Mapping[str, float]]
    spec: Spec
    shown_file: str
    environment: Mapping[str, str]
    data_note: str
    train_seconds: float
    total_seconds: float


def write_report(path: Path, findings: Findings) -> None:
    """Write the report to `path`."""
    atomic_write(path, render(findings).encode())


def render(findings: Findings) -> str:
    """The report as one HTML page with its style and pictures inside."""
    labels = list(findings.spec.output.to_json()["labels"])
    matrix = confusion(findings.truths, [result.index for result in findings.results], len(labels))
    body = [
        parts.tiles(_key_figures(findings)),
        parts.section("Every artifact", _TABLE_NOTE, parts.artifact_table(findings.rows)),
        '<div class="pair">',
        parts.section("Latency by runtime", _LATENCY_NOTE, _figure(latency_chart(findings.rows))),
        parts.section("Training", _CURVES_NOTE, _figure(curves_chart(findings.history))),
        "</div>",
        _samples_section(findings, labels),
        '<div class="pair">',
        parts.section("Confusion", _CONFUSION_NOTE, parts.confusion_table(matrix, labels)),
        parts.section("By class", _CLASS_NOTE, parts.class_table(matrix, labels)),
        "</div>",
        parts.section(
            "The contract", _CONTRACT_NOTE.format(findings.shown_file), parts.contract(findings.spec)
        ),
        parts.section("Made with", findings.data_note, parts.facts_table(findings.environment)),
    ]
    style = page_style() + (Path(__file__).parent / "report_style.css").read_text(encoding="utf-8")
    return _PAGE.format(title=escape(findings.spec.name), style=style, body="\n".join(body))


def confusion(truths: Sequence[int], answers: Sequence[int], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): row is the truth, column the answer."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (np.asarray(truths), np.asarray(answers)), 1)
    return matrix


def _key_figures(findings: Findings) -> list[tuple[str, str]]:
    accuracies = [row.accuracy for row in findings.rows if row.accuracy]
    agreements = [row.parity.agreement for row in findings.rows if row.parity]
    fastest_ms, fastest = min((row.median_ms, row.file) for row in findings.rows if row.median_ms)
    return [
        (percent(accuracies[0].value), f"accuracy on {accuracies[0].samples:,} test pictures"),
        (percent(min(agreements, default=1.0)), "of answers equal the checkpoint's, in the worst runtime"),
        (f"{fastest_ms:.2f} ms", f"for one prediction with {fastest}"),
        (f"{findings.total_seconds:.0f} s", f"for everything, {findings.train_seconds:.0f} s of it training"),
    ]


def _samples_section(findings: Findings, labels: Sequence[str]) -> str:
    truths = list(findings.truths)
    right = [i for i, result in enumerate(findings.results) if result.index == truths[i]]
    wrong = [i for i, result in enumerate(findings.results) if result.index != truths[i]]
    wrong.sort(key=lambda i: -findings.results[i].score)
    chosen: list[int] = []
    for label in range(len(labels)):
        chosen += [i for i in right if truths[i] == label][:PICTURES_PER_CLASS]
    chosen += wrong[:MISTAKES_SHOWN]
    body = parts.pictures([findings.results[i] for i in chosen], [labels[truths[i]] for i in chosen])
    return parts.section("What it says", _SAMPLES_NOTE.format(len(wrong), len(truths)), body)


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


_TABLE_NOTE = (
    "Each file carries its own contract and proof. Accuracy, with its 95 % interval, and agreement with the "
    "checkpoint were measured through Predictor before the file got its name."
)
_LATENCY_NOTE = (
    "Whole predictions on real pictures, in one process, the artifacts taking turns; bench.html beside this "
    "file has the whole distribution."
)
_CURVES_NOTE = "Validation runs the pre- and post-processing of the contract, as the device does."
_SAMPLES_NOTE = "One right answer per class, then the most confident of the {} mistakes on {:,} pictures."
_CONFUSION_NOTE = "Rows: what the picture shows. Columns: the answer."
_CLASS_NOTE = "Measured on the same pictures."
_CONTRACT_NOTE = (
    "What {} does with a picture, in order: steps in the graph cannot differ between runtimes, steps on the "
    "host run in numpy and Pillow."
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edgewright quickstart: {title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<p class="kicker">Edgewright quickstart</p>
<h1>One model, every runtime, the same answer</h1>
<p class="lead">A classifier was trained, its pre- and post-processing baked into the graph, lowered to each
runtime, proved against the checkpoint, and timed on this machine.</p>
</header>
{body}
<footer>Written by <code>edgewright quickstart</code>. Latencies hold for this machine and moment.</footer>
</main>
</body>
</html>
"""

"""What a model of another tool says of itself, for people."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from sdk.foreign.onnx_outline import read_outline, refuse_damaged
from sdk.foreign.opening import read_foreign
from sdk.foreign.state import state_pairs

_SHOWN_OPERATORS = 8
_SHOWN_LABELS = 12
_LONGEST_VALUE = 200


def described(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Facts of an `.onnx`, or of an `.engine` with Ultralytics' note, by name and without any engine.

    Raises:
        ArtifactError: It cannot be read, or is no whole file of this kind.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        return _engine(path)
    outline = read_outline(path)
    refuse_damaged(outline, path.name)
    operators = Counter(node.operator for node in outline.nodes)
    facts: dict[str, Any] = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.2f} MB, without a contract: another tool wrote it",
        "format": f"IR version {outline.ir_version}, opset {outline.opset}",
        "producer": outline.producer or "not said",
        "weights": f"{outline.weights} tensors" + (", in files beside it" if outline.external else ""),
        **{f"input {tensor.name}": str(tensor) for tensor in outline.inputs},
        **{f"output {tensor.name}": str(tensor) for tensor in outline.outputs},
        "operators": dict(operators.most_common(_SHOWN_OPERATORS)),
        "operators in all": len(outline.nodes),
    }
    facts |= {f"metadata {key}": value[:_LONGEST_VALUE] for key, value in outline.metadata.items()}
    for state in state_pairs(outline):
        facts[f"state {state.taken}"] = f"probably continued by output {state.given}"
    return {**facts, "next": "edgewright inspect --propose-spec FILE drafts a spec for it"}


def _engine(path: Path) -> dict[str, Any]:
    file = read_foreign(path, with_spec=False)
    facts: dict[str, Any] = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.2f} MB, without a contract: another tool wrote it",
        "plan": f"{len(file.payload):,} bytes",
    }
    if file.note is not None:
        note = file.note
        more = ", …" if len(note.labels) > _SHOWN_LABELS else ""
        facts |= {
            "note": f"Ultralytics {note.version}, task {note.task}",
            "labels": f"{len(note.labels)}: {', '.join(note.labels[:_SHOWN_LABELS])}{more}",
            "size": "not said" if note.size_wh is None else f"{note.size_wh[0]}×{note.size_wh[1]}",
        }
    return facts

"""A draft of a spec for somebody else's ONNX model: what the file shows, and what is only likely."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtimes import ArtifactError, Dim, TensorInfo
from sdk.foreign.guess import Notes
from sdk.foreign.guess_input import arrays_input, find_picture, image_roles, picture_input
from sdk.foreign.guess_output import read_answer
from sdk.foreign.onnx_outline import OnnxOutline, read_outline, refuse_damaged
from sdk.foreign.ultralytics import TASKS, read_note, ultralytics_spec
from sdk.outputs.arrays import ArraysOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

OLDEST_OPSET = 7
"""Older graphs are not promised to run in ONNX Runtime."""
_SHOWN_OPERATORS = 8


@dataclass(frozen=True)
class Proposal:
    """A draft, to be read and corrected by whoever knows the model.

    Attributes:
        spec: The drafted contract.
        notes: What of it is certain, and what was guessed.
    """

    spec: Spec
    notes: Notes

    def to_json(self) -> dict[str, Any]:
        """JSON data that ``Predictor(…, spec=…)`` takes as it is; it does not read the notes."""
        return {
            "spec": self.spec.to_json(),
            "certain": dict(self.notes.certain),
            "guessed": dict(self.notes.guessed),
        }


def propose_spec(path: str | os.PathLike[str]) -> Proposal:
    """Draft a spec for an `.onnx` file, without any engine.

    Raises:
        ArtifactError: It cannot be read, is no whole ONNX model, or has an input of which not even the number
            of axes is known.
        SpecError: Ultralytics' note in it cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ArtifactError(
            f"File {path.name!r}",
            got=f"a {path.suffix or 'nameless'} file",
            expected=".onnx",
            fix="Drafts are made from .onnx alone; .engine files of Ultralytics need none.",
        )
    outline = read_outline(path)
    refuse_damaged(outline, path.name)
    notes = Notes()
    _describe(outline, notes)
    note = read_note(outline.metadata, path.name)
    if note is not None:
        inputs, outputs = (tuple(t.info for t in ts) for ts in (outline.inputs, outline.outputs))
        spec = ultralytics_spec(note, path.stem, inputs, outputs)
        covered = note.task in TASKS and not isinstance(spec.output, ArraysOutput)
        notes.certain["spec"] = (
            f"Ultralytics' own notes in the file: task {note.task}, {len(note.labels)} classes"
        )
        if not covered:
            notes.certain["output"] = f"task {note.task} with this output has no typed result: arrays"
        return Proposal(spec, notes)
    return Proposal(_drafted(path.stem, outline, notes), notes)


def _drafted(name: str, outline: OnnxOutline, notes: Notes) -> Spec:
    picture = find_picture(outline)
    inputs = tuple(tensor.info for tensor in outline.inputs)
    outputs = tuple(tensor.info for tensor in outline.outputs)
    roles: dict[str, str] = {}
    baked: tuple[str, ...] = ()
    if picture is None:
        kind, batched = arrays_input(outline, notes)
        output: Any = ArraysOutput(tuple(info.name for info in outputs), batched)
    else:
        reading = read_answer(picture, outline, notes)
        kind, output = picture_input(picture, outline, reading.task, notes), reading.kind
        roles = {**image_roles(picture), **reading.roles}
        baked = picture.baked + reading.baked
        if isinstance(output, ArraysOutput) and not output.batched:
            inputs = (_single(inputs[0]),)
    graph = Graph("main", inputs, outputs, roles)
    network = Network("foreign", {"made_by": outline.producer or "unknown"})
    return Spec(SPEC_VERSION, name, "own", kind, output, (graph,), baked, network)


def _single(info: TensorInfo) -> TensorInfo:
    """The same for one picture a call."""
    return replace(info, shape=(1, *info.shape[1:])) if isinstance(info.shape[0], Dim) else info


def _describe(outline: OnnxOutline, notes: Notes) -> None:
    operators = Counter(node.operator for node in outline.nodes).most_common(_SHOWN_OPERATORS)
    shown = ", ".join(f"{count} × {operator}" for operator, count in operators)
    maker = f", written by {outline.producer}" if outline.producer else ""
    notes.certain["file"] = f"opset {outline.opset}, IR version {outline.ir_version}{maker}; {shown}"
    if outline.opset < OLDEST_OPSET:
        notes.guessed["opset"] = (
            f"{outline.opset} is older than ONNX Runtime promises to run ({OLDEST_OPSET}): if it refuses, "
            "convert the file with onnx.version_converter"
        )
    if outline.external:
        notes.certain["weights"] = "in files beside this one, which must stay there"
    for tensor in (*outline.inputs, *outline.outputs):
        if any(extent is None for extent in tensor.shape or ()):
            notes.certain[f"tensor {tensor.name!r}"] = f"{tensor}: open axes have no name"

"""Opening a model that another tool wrote: with a spec of yours, its own notes, or as plain arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtimes import ArtifactError, Program, Runtime, TensorInfo, UsageError, open_runtime
from sdk.artifact import IMPORTED, MANIFEST_VERSION, Artifact, Manifest, engine_file, onnx_file
from sdk.artifact.evidence import Evidence
from sdk.artifact.provenance import now_utc
from sdk.artifact.sealed import read_bytes, sha256
from sdk.foreign.draft import read_spec
from sdk.foreign.onnx_outline import outline_of, refuse_damaged
from sdk.foreign.ultralytics import UltralyticsNote, read_note, split_engine, ultralytics_spec
from sdk.inputs.arrays import ArraysInput
from sdk.outputs.arrays import ArraysOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

ENGINES = (".engine", ".trt")
OWN = "own"
"""Task of models that came from elsewhere."""


class ForeignFile:
    """A file that another tool wrote, looked at but not opened.

    Attributes:
        path: Where it lies.
        payload: What its engine opens.
        note: Ultralytics' own note in it, if there is one.
        external: Whether weights lie in files beside it.
    """

    def __init__(self, path: Path, payload: bytes, note: UltralyticsNote | None, external: bool) -> None:
        self.path = path
        self.payload = payload
        self.note = note
        self.external = external

    def open(self, options: Mapping[str, Any]) -> Runtime:
        """Its engine."""
        if self.external:  # only by its path does the engine find them
            return open_runtime(self.path.suffix, Program(b"", path=str(self.path)), **options)
        return open_runtime(self.path.suffix, Program(self.payload), **options)


def read_foreign(path: str | os.PathLike[str], *, with_spec: bool) -> ForeignFile:
    """Look at a file without any engine.

    Args:
        path: An `.onnx`, `.engine` or `.trt`.
        with_spec: The user brings a spec: then a bare TensorRT plan is taken, too.

    Raises:
        ArtifactError: It cannot be read, is damaged, or is nothing of this kind.
        UsageError: It carries a contract, so that a second one would contradict it.
        SpecError: Ultralytics' note in it cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".onnx", *ENGINES):
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=f"a {suffix or 'nameless'} file of another tool",
            expected=".onnx, .engine or .trt",
            fix="Bring the model as .onnx.",
        )
    data = read_bytes(path)
    if suffix == ".onnx":
        return _onnx(path, data)
    return _engine(path, data, with_spec)


def _onnx(path: Path, data: bytes) -> ForeignFile:
    if onnx_file.split(data, path.name) is not None:
        raise _has_contract(path)
    outline = outline_of(data, path.name)
    refuse_damaged(outline, path.name)
    for tensor in outline.inputs:
        if tensor.shape is None:
            raise ArtifactError(
                f"ONNX file {path.name!r}",
                got=f"input {tensor.name!r} of unknown shape",
                expected="at least its number of axes",
                fix="Export it with shapes, or write them in with onnx.tools.update_model_dims.",
            )
    return ForeignFile(path, data, read_note(outline.metadata, path.name), outline.external)


def _engine(path: Path, data: bytes, with_spec: bool) -> ForeignFile:
    if engine_file.split(data, path.name) is not None:
        raise _has_contract(path)
    found = split_engine(data)
    if found is not None:
        metadata, begin = found
        return ForeignFile(path, data[begin:], read_note(metadata, path.name), False)
    if not with_spec:
        raise ArtifactError(
            f"Artifact {path.name!r}",
            got=f"{len(data)} bytes with no contract and no note of Ultralytics in front of the plan",
            expected="a whole file written by `edgewright build` or by Ultralytics",
            fix="Copy it again if it was cut short; pass spec=… for a plan of another tool.",
        )
    return ForeignFile(path, data, None, False)


def open_foreign(
    path: str | os.PathLike[str], spec: Spec | Mapping[str, Any] | str | os.PathLike[str] | None,
    options: Mapping[str, Any],
) -> tuple[Artifact, Runtime]:  # fmt: skip
    """Open a file of another tool.

    Args:
        path: An `.onnx`, `.engine` or `.trt` without a contract.
        spec: How it is fed and read: a `Spec`, its JSON data, or a JSON file, such as a corrected draft of
            ``edgewright inspect --propose-spec``. None: as Ultralytics' note in it says, else plain arrays.
        options: Of the runtime.

    Returns:
        The file with a manifest that says "imported, not measured", and its engine.

    Raises:
        ArtifactError, UsageError, SpecError: As `read_foreign`; or the spec cannot be read.
        EngineError: The engine is missing or refuses the file.
    """
    given = None if spec is None else read_spec(spec)
    file = read_foreign(path, with_spec=given is not None)
    runtime = file.open(options)
    try:
        contract = given or _own_words(file, runtime.inputs, runtime.outputs)
    except BaseException:
        runtime.close()
        raise
    manifest = Manifest(MANIFEST_VERSION, contract, (), imported_evidence(file), sha256(file.payload))
    return Artifact(file.path, manifest, file.path.stat().st_size, None), runtime


def imported_evidence(file: ForeignFile, tolerance: float = 0.0) -> Evidence:
    """That nothing was measured, and who made it."""
    maker = f"Ultralytics {file.note.version}".strip() if file.note else "another tool"
    return Evidence(IMPORTED, now_utc(), None, {}, tolerance, None, (), {}, {"made_by": maker})


def _own_words(file: ForeignFile, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> Spec:
    if file.note is not None:
        return ultralytics_spec(file.note, file.path.stem, inputs, outputs)
    return arrays_spec(file.path.stem, inputs, outputs)


def arrays_spec(name: str, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> Spec:
    """The contract of a graph of which only the tensors are known: arrays in and out, one call an item."""
    return Spec(
        version=SPEC_VERSION,
        name=name,
        task=OWN,
        input=ArraysInput(tuple(inputs), batched=False),
        output=ArraysOutput(tuple(info.name for info in outputs), batched=False),
        graphs=(Graph("main", tuple(inputs), tuple(outputs)),),
        baked=(),
        network=Network("foreign", {}),
    )


def _has_contract(path: Path) -> UsageError:
    return UsageError(
        "Option 'spec'",
        got=f"one for {path.name!r}, which carries its own",
        expected="a file without a contract",
        fix="Leave it out.",
    )

"""What an ONNX file says of itself, read with nothing but the standard library.

Field numbers are those of ``onnx.proto``. Weights are stepped over, never copied.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtimes import ArtifactError, Dim, TensorInfo
from sdk.artifact.sealed import damaged
from sdk.wire import Field, WireError, fields

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "object",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""numpy's names by ``TensorProto.DataType``; ``object`` is a tensor of strings."""
_MOST_OPERATORS = 1_000_000


@dataclass(frozen=True)
class OnnxTensor:
    """One input or output as the file declares it.

    Attributes:
        name: Its name in the file.
        dtype: numpy's name of the element type; another word where it is no tensor of numbers.
        shape: Per axis its extent, its name where it is open and named, None where it is open; None where not
            even the number of axes is known.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    @property
    def info(self) -> TensorInfo:
        """The same with a `Dim` for every open axis; no axes where their number is not known."""
        shape = tuple(extent if isinstance(extent, int) else Dim() for extent in self.shape or ())
        return TensorInfo(self.name, self.dtype, shape)

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of unknown shape"
        return f"{self.dtype} ({', '.join('?' if e is None else str(e) for e in self.shape)})"


@dataclass(frozen=True)
class OnnxNode:
    """One operator: its type and the names it reads and writes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class OnnxOutline:
    """An ONNX file without its weights.

    Attributes:
        ir_version: Of the file format.
        opset: Of the standard operators; 0 where it says none.
        producer: Tool and version that wrote it, may be empty.
        metadata: Its ``metadata_props``.
        inputs: What the graph takes, without the weights that old files list among its inputs.
        outputs: What it gives.
        nodes: Its operators in their order.
        weights: How many weight tensors it holds.
        external: Whether weights lie in files beside it.
    """

    ir_version: int
    opset: int
    producer: str
    metadata: dict[str, str]
    inputs: tuple[OnnxTensor, ...]
    outputs: tuple[OnnxTensor, ...]
    nodes: tuple[OnnxNode, ...]
    weights: int
    external: bool

    def maker_of(self, tensor: str) -> OnnxNode | None:
        """The operator that writes a tensor."""
        return next((node for node in reversed(self.nodes) if tensor in node.outputs), None)


def refuse_damaged(outline: OnnxOutline, name: str) -> None:
    """Refuse an artifact of ours that lost its seal: it is no model of another tool.

    Raises:
        ArtifactError: It is one.
    """
    if {"edgewright", "edgewright_seal"} & set(outline.metadata):
        raise damaged(name)


def read_outline(path: str | os.PathLike[str]) -> OnnxOutline:
    """Read the outline of a file.

    Raises:
        ArtifactError: It cannot be read, or is no whole ONNX model.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"ONNX file {path.name!r}", got=error.strerror or str(error), expected="a readable file",
            fix="Check the path.",
        ) from error  # fmt: skip
    return outline_of(data, path.name)


def outline_of(data: bytes, name: str) -> OnnxOutline:
    """The outline of a file's bytes.

    Raises:
        ArtifactError: They are no whole ONNX model.
    """
    try:
        return _model(memoryview(data))
    except WireError as error:
        raise ArtifactError(
            f"ONNX file {name!r}",
            got=f"bytes that are no whole ONNX model ({error})",
            expected="a model as its exporter wrote it",
            fix="Copy it again if it was cut short, or export it again.",
        ) from error


def _model(data: memoryview) -> OnnxOutline:
    ir_version = opset = 0
    producer = ["", ""]
    metadata: dict[str, str] = {}
    graph: memoryview | None = None
    for field in fields(data):
        if field.number == 1:
            ir_version = field.number_value
        elif field.number in (2, 3):
            producer[field.number - 2] = field.text
        elif field.number == 7:
            graph = field.message
        elif field.number == 8:
            domain, version = _opset(field)
            opset = version if domain in ("", "ai.onnx") else opset
        elif field.number == 14:
            key, value = _entry(field)
            metadata[key] = value
    if graph is None or ir_version < 1:
        raise WireError("no graph" if graph is None else "no IR version")
    return _graph(graph, ir_version, opset, " ".join(filter(None, producer)), metadata)


def _graph(
    data: memoryview, ir_version: int, opset: int, producer: str, metadata: dict[str, str]
) -> OnnxOutline:
    nodes: list[OnnxNode] = []
    inputs: list[OnnxTensor] = []
    outputs: list[OnnxTensor] = []
    weights: set[str] = set()
    external = False
    for field in fields(data):
        if field.number == 1 and len(nodes) < _MOST_OPERATORS:
            nodes.append(_node(field))
        elif field.number == 5:
            name, outside = _initializer(field)
            weights.add(name)
            external |= outside
        elif field.number in (11, 12):
            (inputs if field.number == 11 else outputs).append(_value(field))
    if not outputs:
        raise WireError("a graph without outputs")
    taken = tuple(tensor for tensor in inputs if tensor.name not in weights)
    return OnnxOutline(
        ir_version, opset, producer, metadata, taken, tuple(outputs), tuple(nodes), len(weights), external
    )


def _node(field: Field) -> OnnxNode:
    operator, inputs, outputs = "", [], []
    for part in fields(field.message):
        if part.number == 1:
            inputs.append(part.text)
        elif part.number == 2:
            outputs.append(part.text)
        elif part.number == 4:
            operator = part.text
    return OnnxNode(operator, tuple(inputs), tuple(outputs))


def _initializer(field: Field) -> tuple[str, bool]:
    name, outside = "", False
    for part in fields(field.message):
        if part.number == 8:
            name = part.text
        elif part.number == 14:
            outside = part.number_value == 1
    return name, outside


def _value(field: Field) -> OnnxTensor:
    name, dtype, shape = "", "nothing", None
    for part in fields(field.message):
        if part.number == 1:
            name = part.text
        elif part.number == 2:
            for kind in fields(part.message):
                dtype, shape = (
                    _tensor_type(kind) if kind.number == 1 else (_OTHER.get(kind.number, dtype), None)
                )
    return OnnxTensor(name, dtype, shape)


_OTHER = {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}


def _tensor_type(field: Field) -> tuple[str, tuple[int | str | None, ...] | None]:
    dtype, shape = "nothing", None
    for part in fields(field.message):
        if part.number == 1:
            dtype = DTYPES.get(part.number_value, f"type {part.number_value}")
        elif part.number == 2:
            shape = tuple(_extent(axis) for axis in fields(part.message) if axis.number == 1)
    return dtype, shape


def _extent(field: Field) -> int | str | None:
    extent: int | str | None = None
    for part in fields(field.message):
        if part.number == 1:
            # Some exporters write -1 or 0 for an open axis.
            extent = part.number_value if part.number_value > 0 else None
        elif part.number == 2:
            extent = part.text or None
    return extent


def _opset(field: Field) -> tuple[str, int]:
    domain, version = "", 0
    for part in fields(field.message):
        if part.number == 1:
            domain = part.text
        elif part.number == 2:
            version = part.number_value
    return domain, version


def _entry(field: Field) -> tuple[str, str]:
    texts = {part.number: part.text for part in _short(field)}
    return texts.get(1, ""), texts.get(2, "")


def _short(field: Field) -> Iterator[Field]:
    return fields(field.message)

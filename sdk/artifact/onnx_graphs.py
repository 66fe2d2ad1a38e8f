"""Several ONNX models in one file, of which every tool sees the first.

A `ModelProto` may hold fields that its reader does not know: ONNX Runtime, the onnx package and TensorRT
skip them. So the first graph's model is the file, and every further graph is one more field at its end:

    model | field 20777 {1: name, 2: model without what it shares, 3: {1: tensor, 2: which of the first's}}

Weights that a further graph shares with the first (prefill and step of a decoder share all of them) are
stored once. Messages merge on concatenation: the model of such a graph is what is stored of it, followed by
a `ModelProto` that holds nothing but the first graph's tensors, under the names that they have here.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtimes import ArtifactError
from sdk.wire import Field, WireError, encoded, fields

_GRAPHS = 20777
_NAME, _MODEL, _SHARED = 1, 2, 3
_TENSOR, _WHICH = 1, 2
_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_NAME, _TENSOR_DOC = 7, 5, 8, 12  # of onnx.proto
_WORTH_SHARING = 256
"""Bytes below which a tensor is stored again."""


def join(models: Mapping[str, bytes]) -> bytes:
    """One file of the models of several graphs, the first of them as it is."""
    (_, first), *others = models.items()
    there = {contents: at for at, (_, contents) in reversed(list(enumerate(_initializers(first))))}
    return b"".join([first, *(encoded(_GRAPHS, _stored(name, model, there)) for name, model in others)])


def stored_models(program: bytes) -> list[bytes]:
    """The model of every graph, without the tensors that it shares with the first."""
    further = [
        bytes(next(part.message for part in fields(field.message) if part.number == _MODEL))
        for field in fields(memoryview(program))
        if field.number == _GRAPHS
    ]
    return [program, *further]


def model_of(program: bytes, name: str) -> bytes:
    """The model of the graph called `name`, one of those behind the first.

    Raises:
        ArtifactError: The file holds no such graph.
    """
    try:
        for field in fields(memoryview(program)):
            if field.number == _GRAPHS:
                parts = list(fields(field.message))
                if next(part.text for part in parts if part.number == _NAME) == name:
                    return _restored(parts, program)
    except (WireError, StopIteration, IndexError) as error:
        raise _no_graph(name) from error
    raise _no_graph(name)


def _stored(name: str, model: bytes, there: Mapping[bytes, int]) -> bytes:
    """A graph's field: its model without the tensors that are `there`, and which they are."""
    shared: list[bytes] = []

    def kept(field: Field) -> bytes:
        if field.number != _GRAPH_INITIALIZER:
            return encoded(*field)
        tensor, contents = _named(field.message)
        if len(contents) < _WORTH_SHARING or contents not in there:
            return encoded(*field)
        shared.append(encoded(_SHARED, encoded(_TENSOR, tensor) + encoded(_WHICH, there[contents])))
        return b""

    rest = b"".join(
        encoded(_MODEL_GRAPH, b"".join(kept(inner) for inner in fields(field.message)))
        if field.number == _MODEL_GRAPH
        else encoded(*field)
        for field in fields(memoryview(model))
    )
    return b"".join([encoded(_NAME, name.encode()), encoded(_MODEL, rest), *shared])


def _restored(parts: list[Field], program: bytes) -> bytes:
    model = next(part.message for part in parts if part.number == _MODEL)
    shared = [list(fields(part.message)) for part in parts if part.number == _SHARED]
    if not shared:
        return bytes(model)
    first = [contents for _, contents in _initializers(program)]
    tensors = [
        encoded(_GRAPH_INITIALIZER, first[which.number_value] + encoded(_TENSOR_NAME, tensor.message))
        for tensor, which in shared
    ]
    return b"".join([model, encoded(_MODEL_GRAPH, b"".join(tensors))])


def _initializers(model: bytes) -> list[tuple[bytes, bytes]]:
    """Name and contents of each of a model's weights, in order."""
    return [
        _named(inner.message)
        for field in fields(memoryview(model))
        if field.number == _MODEL_GRAPH
        for inner in fields(field.message)
        if inner.number == _GRAPH_INITIALIZER
    ]


def _named(tensor: memoryview) -> tuple[bytes, bytes]:
    """A tensor's name, and everything else of it as it stands in the file."""
    name, rest = b"", []
    for field in fields(tensor):
        if field.number == _TENSOR_NAME:
            name = bytes(field.message)
        elif field.number != _TENSOR_DOC:
            rest.append(encoded(*field))
    return name, b"".join(rest)


def _no_graph(name: str) -> ArtifactError:
    return ArtifactError(
        f"Graph {name!r}",
        got="a file without it",
        expected="every graph that its contract names",
        fix="Export the checkpoint again.",
    )

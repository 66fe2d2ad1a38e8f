"""The open graphs of one artifact, called by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtimes import Array, Dim, InputError, Program, Runtime, SpecError, open_runtime
from sdk.artifact import Artifact
from sdk.spec import Graph, called_as


class Graphs:
    """One open runtime per graph.

    Args:
        artifact: Whose graphs.
        runtimes: One for each of its spec's graphs, in order; closed where they do not fit.

    Raises:
        SpecError: The contract and an engine do not speak of the same graph.
    """

    def __init__(self, artifact: Artifact, runtimes: Sequence[Runtime]) -> None:
        self._spec = artifact.spec
        self._runtimes = tuple(runtimes)
        self.main = runtimes[0]
        self._by_call: dict[str, list[tuple[Graph, Runtime]]] = {}
        try:
            for graph, runtime in zip(self._spec.graphs, runtimes, strict=True):
                _require_same_interface(artifact.path.name, graph, runtime)
                self._by_call.setdefault(called_as(graph.name), []).append((graph, runtime))
        except SpecError:
            self.close()
            raise

    def __call__(self, name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph called `name`: of several variants the first that takes arrays of these shapes.

        What comes behind the first graph may have more rows than a call takes, such as several texts in work
        per item: it is run in parts.

        Raises:
            SpecError: No graph is called so.
            InputError: A name, dtype, shape or value does not fit.
            EngineError: The engine failed, or the graphs are closed.
        """
        found = self._by_call.get(name)
        if found is None:
            self._spec.variants(name)  # says what there is
        assert found is not None
        graph, _ = found[0]
        most = _most_rows(graph)
        if graph is not self._spec.graphs[0] and most is not None and _rows(arrays) > most:
            return self._in_parts(name, arrays, most)
        if len(found) == 1:
            return found[0][1].run(arrays)
        for graph, runtime in found:
            if all(info.name in arrays and info.accepts(arrays[info.name].shape) for info in graph.inputs):
                return runtime.run(arrays)
        raise InputError(
            f"Graph {name!r}",
            got=f"{ {key: array.shape for key, array in arrays.items()} }",
            expected=" or ".join(_shapes(graph) for graph, _ in found),
            fix="Pad the input to one of these shapes, or make it shorter.",
        )

    def _in_parts(self, name: str, arrays: Mapping[str, Array], rows: int) -> dict[str, Array]:
        parts = [
            self(name, {key: array[start : start + rows] for key, array in arrays.items()})
            for start in range(0, _rows(arrays), rows)
        ]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def close(self) -> None:
        """Give the engine's memory back."""
        for runtime in self._runtimes:
            runtime.close()


def open_graphs(artifact: Artifact, first: Program, options: Mapping[str, Any]) -> Graphs:
    """Open every graph of an artifact.

    Args:
        artifact: Whose graphs.
        first: The program of the first of them, ready to be opened.
        options: The adapter's own options.

    Raises:
        SpecError: The contract and an engine do not speak of the same graph.
        EngineError: The engine is not installed, its device is not there, or it refuses a graph.
        UsageError: An option makes no sense.
    """
    runtimes: list[Runtime] = []
    try:
        for graph in artifact.spec.graphs:
            program = artifact.program(graph.name) if runtimes else first
            runtimes.append(open_runtime(artifact.suffix, program, **options))
    except BaseException:
        for runtime in runtimes:
            runtime.close()
        raise
    return Graphs(artifact, runtimes)


def _require_same_interface(name: str, graph: Graph, runtime: Runtime) -> None:
    """The contract and the engine must speak of the same graph."""
    for declared, found in ((graph.inputs, runtime.inputs), (graph.outputs, runtime.outputs)):
        said = {info.name: (info.dtype, len(info.shape)) for info in declared}
        real = {info.name: (info.dtype, len(info.shape)) for info in found}
        if said != real:
            raise SpecError(
                f"Artifact {name!r}",
                got=f"a graph with {[f'{i.name}: {i}' for i in found]}",
                expected=f"{[f'{i.name}: {i}' for i in declared]}, as its contract says",
                fix="Export the checkpoint again, or correct the spec that was passed.",
            )


def _rows(arrays: Mapping[str, Array]) -> int:
    return max((len(array) for array in arrays.values() if np.ndim(array)), default=0)


def _most_rows(graph: Graph) -> int | None:
    """How many rows one call takes at most; None where there is no bound."""
    for extent in graph.inputs[0].shape[:1]:
        return extent.max if isinstance(extent, Dim) else extent
    return None


def _shapes(graph: Graph) -> str:
    return ", ".join(f"{info.name} {info}" for info in graph.inputs)

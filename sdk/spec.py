"""The spec: the one description of how to feed an artifact and how to read it.

`train` evaluates through it, `export` bakes into the graph what the graph can do, and `Predictor`
runs the rest. It is frozen, versioned and stored as JSON; reading is strict in both directions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runtimes import Array, Dim, SpecError, TensorInfo
from sdk.codec import from_json, to_json
from sdk.kinds import InputKind, OutputKind

SPEC_VERSION = 4


@dataclass(frozen=True)
class Graph:
    """One callable graph of an artifact. Most have one, named ``main``.

    Attributes:
        name: What a runtime opens it by. Where engines need fixed shapes, there may be several variants of a
            graph, named ``main@16`` and ``main@32``: see `Spec.variants`.
        inputs: Its inputs, in call order.
        outputs: Its outputs, in return order.
        roles: For graphs that other tools named: what the spec's input and output call a tensor, by its name
            in the graph. Empty where they are the same.
    """

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    roles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """Which builder makes the network that a checkpoint's weights belong to.

    Attributes:
        name: An entry point of the group ``edgewright.networks``.
        arguments: Keyword arguments of the builder; plain JSON.
    """

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """The contract of one artifact.

    Attributes:
        version: Layout of this tree; only `SPEC_VERSION` is read.
        name: The model's name, such as ``product``; also its file name.
        task: The training task that made it and that can measure it again.
        input: How items become arrays.
        output: How arrays become results.
        graphs: The callable graphs with their inputs and outputs as they are now, baked or not. The first is
            what an input is fed to; others, such as ``step``, are called by `OutputKind.run`.
        baked: The steps of `input` and `output` that the graph itself performs.
        network: The network behind a checkpoint.
    """

    version: int
    name: str
    task: str
    input: InputKind
    output: OutputKind
    graphs: tuple[Graph, ...]
    baked: tuple[str, ...]
    network: Network

    def __post_init__(self) -> None:
        known = self.input.bakeable + self.output.bakeable
        unknown = [step for step in self.baked if step not in known]
        if unknown:
            raise SpecError(
                "spec.baked",
                got=repr(unknown[0]),
                expected=f"only {list(known)}",
                fix="Remove the step, or teach the kind to bake it.",
            )
        if self.input.rows_per_item(()) > 1 and not self.output.averages:
            raise SpecError(
                "spec.input.views",
                got=f"several views of a picture for outputs of kind {self.output.kind!r}",
                expected="one: places change with the view, and cannot be averaged",
                fix='Write ["identity"].',
            )
        names = [graph.name for graph in self.graphs]
        if not names or len(set(names)) != len(names):
            raise SpecError(
                "spec.graphs",
                got=f"{names}",
                expected="at least one, each name once",
                fix="Name every graph differently.",
            )

    def graph(self, name: str | None = None) -> Graph:
        """The graph called `name`, or the first.

        Raises:
            SpecError: There is none.
        """
        if name is None:
            return self.graphs[0]
        for graph in self.graphs:
            if graph.name == name:
                return graph
        raise _no_graph(name, self.graphs)

    def variants(self, name: str) -> tuple[Graph, ...]:
        """The graphs that are called as `name`: the one of that name, or its variants.

        Raises:
            SpecError: There is none.
        """
        found = tuple(graph for graph in self.graphs if called_as(graph.name) == name)
        if not found:
            raise _no_graph(name, self.graphs)
        return found

    def only(self, graph: Graph) -> Spec:
        """A spec of one of the graphs alone."""
        return replace(self, graphs=(graph,))

    def measuring(self) -> Spec:
        """The spec that metrics are measured through: see `OutputKind.measuring`."""
        return replace(self, output=self.output.measuring())

    @property
    def batch(self) -> Dim:
        """How many items one call of the main graph takes."""
        return self.input.batch_of(self.graph().inputs)

    def fed(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What the input kind made, under the main graph's own names and in its float types.

        Raises:
            SpecError: The graph has an input that the kind does not make.
        """
        graph = self.graph()
        if not graph.roles:
            return dict(arrays)
        fed = {}
        for info in graph.inputs:
            role = graph.roles.get(info.name, info.name)
            if role not in arrays:
                raise _no_role("input", info.name, role, arrays)
            array = arrays[role]
            floats = array.dtype.kind == "f" and info.dtype.startswith("float")
            fed[info.name] = array.astype(info.dtype, copy=False) if floats else array
        return fed

    def activated(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """What the graph gave, with the steps done that it did not do itself; one row per item."""
        roles = self.graph().roles
        named = {roles.get(name, name): array for name, array in outputs.items()} if roles else outputs
        try:
            done = self.output.activate(named, self.baked)
        except KeyError as error:
            raise _no_role("output", "any", str(error.args[0]), named) from error
        views = self.input.rows_per_item(self.baked)
        return done if views == 1 else {name: mean_of_views(array, views) for name, array in done.items()}

    def with_baked(self, steps: tuple[str, ...], graphs: tuple[Graph, ...]) -> Spec:
        """A new spec whose graphs perform `steps` as well."""
        return replace(self, baked=self.baked + steps, graphs=graphs)

    def with_max_batch(self, max_batch: int) -> Spec:
        """A new spec whose open batch axes, of inputs and outputs alike, end at `max_batch`."""

        def bounded(infos: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
            return tuple(_with_bound(info, max_batch) for info in infos)

        graphs = tuple(replace(g, inputs=bounded(g.inputs), outputs=bounded(g.outputs)) for g in self.graphs)
        return replace(self, graphs=graphs)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data; `Spec.from_json` gives an equal spec back."""
        return {
            "version": self.version,
            "name": self.name,
            "task": self.task,
            "input": self.input.to_json(),
            "output": self.output.to_json(),
            "graphs": [_graph_to_json(graph) for graph in self.graphs],
            "baked": list(self.baked),
            "network": to_json(self.network),
        }

    @classmethod
    def from_json(cls, data: Any, where: str = "spec") -> Spec:
        """Read what `to_json` wrote.

        Raises:
            SpecError: Another version, an unknown or missing key, or a value of another type.
        """
        version = data.get("version") if isinstance(data, dict) else None
        if version != SPEC_VERSION:
            raise SpecError(
                f"{where}.version",
                got=repr(version),
                expected=str(SPEC_VERSION),
                fix="Use the Edgewright version that wrote it, or export again.",
            )
        return from_json(cls, data, where)

    def dumps(self) -> str:
        """The spec as indented JSON text."""
        return json.dumps(self.to_json(), indent=2)


def called_as(name: str) -> str:
    """What a graph is called as: its name without what tells its variants apart."""
    return name.partition("@")[0]


def mean_of_views(array: Array, views: int) -> Array:
    """The mean over the views of each item, in the array's dtype.

    Args:
        array: (views * N, …), all items of the first view first.
        views: How many there are of each item.
    """
    apart = array.reshape(views, -1, *array.shape[1:])
    mean: Array = apart.mean(axis=0, dtype=array.dtype)
    return mean


def _no_graph(name: str, graphs: tuple[Graph, ...]) -> SpecError:
    return SpecError(
        "Graph",
        got=repr(name),
        expected=f"one of {[graph.name for graph in graphs]}",
        fix="Ask for a graph that the artifact holds.",
    )


def _no_role(what: str, name: str, role: str, there: Mapping[str, Array]) -> SpecError:
    return SpecError(
        "spec.graphs.roles",
        got=f"role {role!r} for {what} {name!r}",
        expected=f"one of {sorted(there)}",
        fix="Name in roles what each tensor of the graph is to the spec's input and output.",
    )


def _with_bound(info: TensorInfo, max_batch: int) -> TensorInfo:
    first = info.shape[0] if info.shape else None
    if not isinstance(first, Dim):
        return info
    return replace(info, shape=(Dim(first.min, max_batch), *info.shape[1:]))


def _graph_to_json(graph: Graph) -> dict[str, Any]:
    return to_json(graph)  # type: ignore[no-any-return]

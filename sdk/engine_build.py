"""Building the TensorRT engine of an `.onnx` artifact: a plan per graph, in one file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runtimes.tensorrt_build_process import build_in_subprocess
from runtimes.tensorrt_options import BuildOptions, shape_ranges
from sdk.artifact import Artifact, engine_file, onnx_file

if TYPE_CHECKING:
    from runtimes.tensorrt_builder import BuiltEngine


def build_graphs(model: Artifact, options: BuildOptions) -> BuiltEngine:
    """Build every graph of a model.

    Args:
        model: An `.onnx` artifact.
        options: What to build; shapes of other open axes than the batch come from the model's contract.

    Returns:
        The first graph's engine, with the plans and layers of all.

    Raises:
        UsageError: An axis other than the batch is open without end.
        EngineError: No builder is installed, or it refuses a graph.
        ProofError: A precision that was read back is not the one that was asked for.
    """
    payload, graphs = model.payload, model.spec.graphs
    built = {}
    for at, graph in enumerate(graphs):
        shapes = shape_ranges(graph.inputs, options.batch[1])
        part = onnx_file.graph_of(payload, graph.name, at == 0)
        built[graph.name] = build_in_subprocess(part, replace(options, shapes=shapes))
    plans = engine_file.join_plans({name: engine.plan for name, engine in built.items()})
    return replace(
        built[graphs[0].name],
        plan=plans,
        layers=tuple(layer for engine in built.values() for layer in engine.layers),
        build_s=sum(engine.build_s for engine in built.values()),
    )

"""Lower to ExecuTorch with the XNNPACK delegate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from export.bake import bake
from export.lowering import Lowered, Lowering, Request, at_fixed_size, put_together
from export.quantization.executorch_routes import take_route
from export.recipe import ENTROPY, FP32, INT4_WEIGHTS, INT8, INT8_DYNAMIC, PERCENTILE
from runtimes import (
    MAIN_GRAPH,
    Dim,
    EdgewrightError,
    EngineError,
    EngineMissingError,
    Program,
    TensorInfo,
    UsageError,
)
from runtimes.errors import first_line
from runtimes.executorch_runtime import ALL_NODES, DELEGATED_NODES, FORWARD, ExecuTorchRuntime
from sdk.artifact import pte_file
from sdk.spec import Graph, Spec
from train.quantizer import quiet


class ExecuTorchLowering(Lowering):
    """`.pte` for phones and boards.

    Args:
        weight_bits: Of ``int8`` weights. 4 confines them to 15 steps, 3 to 7, in 8 bits of storage: a way to
            see what so few cost, and whether training wins it back.
    """

    suffix = ".pte"
    precisions = (FP32, INT8, INT8_DYNAMIC, INT4_WEIGHTS)

    def __init__(self, weight_bits: int = 8) -> None:
        self._weight_bits = weight_bits

    def check(self, precision: str) -> None:
        """See `Lowering.check`."""
        super().check(precision)
        import_exir()

    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `Lowering.lower`."""
        _require_calibrator(request)
        spec = at_fixed_size(spec)
        graphs = _graphs(spec)
        lengths_fixed = [graph.name for graph in graphs] != [graph.name for graph in spec.graphs]
        if lengths_fixed and hasattr(network, "unrolled"):
            # In one row at a time XNNPACK takes all of a recurrent network; with an open batch it leaves the
            # slices out, and lowering takes twice as long.
            network, graphs = network.unrolled(), [_of_one_row(graph) for graph in graphs]
        _require_one_shape(graphs, request.precision)
        exir = import_exir()
        with quiet_lowering():
            try:
                routes = {}
                parts = []
                for graph in graphs:
                    module, baked_spec = bake(network, spec.only(graph))
                    route = take_route(module, baked_spec, request, weight_bits=self._weight_bits)
                    routes[FORWARD if graph.name == MAIN_GRAPH else graph.name] = route.program
                    parts.append(Lowered(b"", baked_spec, route.precision, {}, route.calibration))
                payload, facts = _compile(exir, routes, request)
            except EdgewrightError:
                raise
            except Exception as error:  # the lowering passes raise whatever they like
                raise EngineError(
                    "ExecuTorch lowering",
                    got=first_line(error),
                    expected="a network ExecuTorch can lower",
                    fix="See the message, or export to another runtime.",
                ) from error
        whole = put_together(parts, payload)
        for graph in whole.spec.graphs:
            if graph.inputs[0].shape and isinstance(graph.inputs[0].shape[0], Dim):
                _require_batch(payload, graph.name, request.max_batch)
        bounded = whole.spec.with_max_batch(request.max_batch)
        if lengths_fixed:
            bounded = replace(bounded, input=spec.input.for_variants())
        return replace(whole, spec=bounded, facts=facts)


def _graphs(spec: Spec) -> list[Graph]:
    """Every graph, or its variants where this engine cannot leave an axis open."""
    first, *others = spec.graphs
    found = list(spec.input.variants(first) or (first,))
    for graph in others:
        found += spec.output.variants(graph, spec.input) or (graph,)
    return found


def _of_one_row(graph: Graph) -> Graph:
    def single(infos: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
        return tuple(replace(info, shape=(1, *info.shape[1:])) for info in infos)

    return replace(graph, inputs=single(graph.inputs), outputs=single(graph.outputs))


def _compile(
    exir: dict[str, Any], programs: dict[str, Any], request: Request
) -> tuple[bytes, dict[str, Any]]:
    edge = exir["lower"](
        programs,
        partitioner=[exir["partitioner"]()],
        constant_methods={pte_file.MANIFEST_METHOD: pte_file.reserve(request.manifest_bytes)},
    )
    delegations = [exir["delegation"](edge.exported_program(name).graph_module) for name in programs]
    delegated = sum(one.num_delegated_nodes for one in delegations)
    nodes = delegated + sum(one.num_non_delegated_nodes for one in delegations)
    # The counts are known only now; the manager offers no public way to add a constant late (executorch 1.5),
    # and lowering twice would double the time.
    edge._config_methods.update({DELEGATED_NODES: delegated, ALL_NODES: nodes})
    facts = {
        "delegate": "XNNPACK",
        "delegated_fraction": round(delegated / nodes, 4) if nodes else 0.0,
        "delegated_subgraphs": sum(one.num_delegated_subgraphs for one in delegations),
    }
    return bytes(edge.to_executorch().buffer), facts


def _require_one_shape(graphs: list[Graph], precision: str) -> None:
    """Ranges are measured on one graph; each variant would get other ones."""
    if precision == INT8 and len(graphs) > 1:
        raise UsageError(
            "Option --precision",
            got=f"int8 for .pte with {len(graphs)} graphs",
            expected="a network of one graph, or another precision",
            fix="Use --precision int8-dynamic, or export to onnx.",
        )


def _require_calibrator(request: Request) -> None:
    recipe = request.recipe
    if recipe.precision == INT8 and recipe.calibrator in (PERCENTILE, ENTROPY):
        raise UsageError(
            "Option --calibrator",
            got=f"{recipe.calibrator} for .pte",
            expected="minmax or mse",
            fix="Choose one of the two, or export to onnx alone.",
        )


def _require_batch(payload: bytes, graph: str, asked: int) -> None:
    """Lowering may narrow a dynamic batch without a word: ask the program itself."""
    runtime = ExecuTorchRuntime(Program(payload, graph))
    with runtime:
        (extent, *_) = runtime.inputs[0].shape
    if extent != asked:
        raise EngineError(
            "ExecuTorch lowering",
            got=f"a program for batches up to {extent}",
            expected=f"{asked}, as asked for",
            fix=f"Say --max-batch {extent}.",
        )


def import_exir() -> dict[str, Any]:
    """What lowering needs of executorch.

    ``lower``, ``partitioner`` (XNNPACK, which takes fp32, static and dynamic INT8 as it finds them) and
    ``delegation``.

    Raises:
        EngineMissingError: executorch is not installed.
    """
    try:
        with quiet_lowering():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.devtools.backend_debug import get_delegation_info
            from executorch.exir import to_edge_transform_and_lower
    except ImportError as error:
        raise EngineMissingError(
            "Compiler executorch",
            got=f"no usable package ({first_line(error)})",
            expected="executorch, which writes .pte",
            fix="Run: pip install 'edgewright[export]'.",
        ) from error
    return {
        "lower": to_edge_transform_and_lower,
        "partitioner": XnnpackPartitioner,
        "delegation": get_delegation_info,
    }


@contextlib.contextmanager
def quiet_lowering() -> Iterator[None]:
    """Keep the lowering's notes to its own developers to itself, and the batch as it was asked for."""
    # While either library is allowed, tracing a convolution asks whether the batch is 16 or more to choose a
    # kernel, and a dynamic batch silently ends at 15 (torch 2.14).
    with quiet(), torch.backends.nnpack.flags(enabled=False), torch.backends.mkldnn.flags(enabled=False):
        yield

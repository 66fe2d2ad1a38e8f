"""Lower to ExecuTorch with the XNNPACK delegate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from export.bake import bake
from export.lowering import Lowered, Lowering, Request
from export.quantization.executorch_routes import Route, take_route
from export.recipe import ENTROPY, FP32, INT4_WEIGHTS, INT8, INT8_DYNAMIC, PERCENTILE
from runtimes import Dim, EdgewrightError, EngineError, EngineMissingError, Program, UsageError
from runtimes.errors import first_line
from runtimes.executorch_runtime import ALL_NODES, DELEGATED_NODES, ExecuTorchRuntime
from sdk.artifact import pte_file
from sdk.spec import Spec
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
        module, baked_spec = bake(network, spec)
        exir = import_exir()
        with quiet_lowering():
            try:
                route = take_route(module, baked_spec, request, weight_bits=self._weight_bits)
                payload, facts = _compile(exir, route, request)
            except EdgewrightError:
                raise
            except Exception as error:  # the lowering passes raise whatever they like
                raise EngineError(
                    "ExecuTorch lowering",
                    got=first_line(error),
                    expected="a network ExecuTorch can lower",
                    fix="See the message, or export to another runtime.",
                ) from error
        first = baked_spec.graph().inputs[0].shape[:1]
        if any(isinstance(extent, Dim) for extent in first):
            _require_batch(payload, request.max_batch)
        bounded = baked_spec.with_max_batch(request.max_batch)
        return Lowered(payload, bounded, route.precision, facts, route.calibration)


def _compile(exir: dict[str, Any], route: Route, request: Request) -> tuple[bytes, dict[str, Any]]:
    edge = exir["lower"](
        route.program,
        partitioner=[exir["partitioner"]()],
        constant_methods={pte_file.MANIFEST_METHOD: pte_file.reserve(request.manifest_bytes)},
    )
    delegation = exir["delegation"](edge.exported_program().graph_module)
    delegated = delegation.num_delegated_nodes
    nodes = delegated + delegation.num_non_delegated_nodes
    # The counts are known only now; the manager offers no public way to add a constant late (executorch 1.5),
    # and lowering twice would double the time.
    edge._config_methods.update({DELEGATED_NODES: delegated, ALL_NODES: nodes})
    facts = {
        "delegate": "XNNPACK",
        "delegated_fraction": round(delegated / nodes, 4) if nodes else 0.0,
        "delegated_subgraphs": delegation.num_delegated_subgraphs,
    }
    return bytes(edge.to_executorch().buffer), facts


def _require_calibrator(request: Request) -> None:
    recipe = request.recipe
    if recipe.precision == INT8 and recipe.calibrator in (PERCENTILE, ENTROPY):
        raise UsageError(
            "Option --calibrator",
            got=f"{recipe.calibrator} for .pte",
            expected="minmax or mse",
            fix="Choose one of the two, or export to onnx alone.",
        )


def _require_batch(payload: bytes, asked: int) -> None:
    """Lowering may narrow a dynamic batch without a word: ask the program itself."""
    runtime = ExecuTorchRuntime(Program(payload))
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

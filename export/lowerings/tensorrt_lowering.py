"""Lower to TensorRT by way of the ONNX graph, built in a process of its own."""

from __future__ import annotations

from typing import Any

from torch import nn

from export.lowering import (
    FP16,
    FP32,
    INT8,
    Lowered,
    Lowering,
    Request,
    at_fixed_size,
    put_together,
    request_for,
)
from runtimes.cuda_memory import gpu_count
from runtimes.tensorrt_build_process import build_in_subprocess
from runtimes.tensorrt_builder import choose_package
from runtimes.tensorrt_options import BuildOptions, shape_ranges
from sdk.artifact import engine_file
from sdk.spec import Spec


class TensorRTLowering(Lowering):
    """`.trt` for NVIDIA GPUs: for the one at hand, or with TensorRT-RTX for those of PCs ahead of time."""

    suffix = ".trt"
    precisions = (FP32, FP16, INT8)

    def check(self, precision: str) -> None:
        """See `Lowering.check`."""
        super().check(precision)
        choose_package(None, gpu_count() > 0)

    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `Lowering.lower`. Precision is written into the graph, which TensorRT builds as it is typed."""
        spec = at_fixed_size(spec)
        parts = {
            graph.name: _lower_graph(network, spec.only(graph), request_for(graph, network, spec, request))
            for graph in spec.graphs
        }
        plans = engine_file.join_plans({name: part.payload for name, part in parts.items()})
        return put_together(list(parts.values()), plans)


def _lower_graph(network: nn.Module, spec: Spec, request: Request) -> Lowered:
    onnx_bytes, baked_spec, record, calibration = _graph(network, spec, request)
    shapes = shape_ranges(baked_spec.graph().inputs, request.max_batch)
    kept = tuple(record.get("kept_nodes", ()))
    built = build_in_subprocess(
        onnx_bytes, BuildOptions(request.precision, request.max_batch, shapes=shapes, kept=kept)
    )
    facts = {
        "builder": built.tools,
        "built_for": list(built.targets),
        "build_s": round(built.build_s, 2),
    }
    bounded = baked_spec.with_max_batch(built.max_batch)
    return Lowered(built.plan, bounded, {**record, **built.precision_record()}, facts, calibration)


def _graph(
    network: nn.Module, spec: Spec, request: Request
) -> tuple[bytes, Spec, dict[str, Any], dict[str, Any]]:
    """The graph to build, its spec, the record of what stays in fp32, and that of the calibration."""
    from export.half import lower_to_half
    from export.onnx_graph import lower_to_onnx
    from export.quantization.onnx_int8 import lower_int8_for_tensorrt

    if request.precision == FP16:
        return lower_to_half(network, spec, request.calibration)
    if request.precision == INT8:
        payload, baked_spec, calibration = lower_int8_for_tensorrt(
            network, spec, request.recipe, request.calibration
        )
        recipe = request.recipe
        record = {"granularity": recipe.granularity, "kept": list(recipe.keep)}
        by_layer = calibration.get("kept_nodes", {})
        record["kept_nodes"] = [name for names in by_layer.values() for name in names]
        return payload, baked_spec, record, calibration
    return (*lower_to_onnx(network, spec), {}, {})

"""Lower to ONNX: for ONNX Runtime, and for TensorRT builders on the device."""

from __future__ import annotations

from typing import Any

from torch import nn

from export.box_suppression import add_suppression
from export.half import lower_to_half
from export.lowering import Lowered, Lowering, Request, put_together, request_for
from export.onnx_graph import lower_to_onnx
from export.quantization.integer_types import cpu_types
from export.quantization.onnx_dynamic import quantize_dynamic_graph
from export.quantization.onnx_int8 import lower_int8_for_cpu
from export.quantization.onnx_precision import node_precisions, weight_types
from export.quantization.onnx_weights import store_weights_as_int4, store_weights_as_int8
from export.recipe import FP16, FP32, GRAPH, INT4_WEIGHTS, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from sdk.artifact import onnx_graphs
from sdk.spec import Spec


class OnnxLowering(Lowering):
    """`.onnx` in every precision that ONNX Runtime has."""

    suffix = ".onnx"
    precisions = (FP32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS, INT4_WEIGHTS)

    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `Lowering.lower`. The batch is free: `max_batch` binds only engines that plan ahead."""
        parts = {
            graph.name: self.lower_graph(
                network, spec.only(graph), request_for(graph, network, spec, request)
            )
            for graph in spec.graphs
        }
        payload = onnx_graphs.join({name: part.payload for name, part in parts.items()})
        weights = [weight_types(model) for model in onnx_graphs.stored_models(payload)]
        return put_together(list(parts.values()), payload, weights)

    def lower_graph(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """One graph as a model of its own.

        Args:
            network: As for `lower`.
            spec: Of that graph alone.
            request: As for `lower`.
        """
        recipe = request.recipe
        calibration: dict[str, Any] = {}
        details: dict[str, Any] = {}
        if recipe.precision == INT8:
            payload, baked_spec, calibration = lower_int8_for_cpu(network, spec, recipe, request.calibration)
            details = {"granularity": recipe.granularity, "kept": list(recipe.keep)}
        elif recipe.precision == FP16:
            payload, baked_spec, details, calibration = lower_to_half(network, spec, request.calibration)
        else:
            payload, baked_spec = lower_to_onnx(network, spec)
            payload = _shrink(payload, recipe.precision, recipe.granularity)
        record = {**_precision_record(payload, recipe.precision), **details}
        if recipe.nms == GRAPH:
            payload, baked_spec = add_suppression(payload, baked_spec)
        return Lowered(payload, baked_spec, record, calibration=calibration)


def _shrink(payload: bytes, precision: str, granularity: str) -> bytes:
    if precision == INT8_DYNAMIC:
        return quantize_dynamic_graph(payload, granularity)
    if precision == INT8_WEIGHTS:
        return store_weights_as_int8(payload, granularity)
    return store_weights_as_int4(payload) if precision == INT4_WEIGHTS else payload


def _precision_record(payload: bytes, precision: str) -> dict[str, Any]:
    """What was asked for, and what the finished graph holds."""
    record: dict[str, Any] = {
        "requested": precision,
        "nodes": node_precisions(payload),
        "weights": weight_types(payload),
    }
    if precision in (INT8, INT8_DYNAMIC):
        record["types"] = cpu_types().to_json()
    return record

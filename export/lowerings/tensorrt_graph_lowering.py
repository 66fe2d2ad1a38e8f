"""Lower to the INT8 graph that TensorRT's builders take, for engines that are built on the device."""

from __future__ import annotations

from torch import nn

from export.lowering import Lowered, Request
from export.lowerings.onnx_lowering import OnnxLowering
from export.quantization.integer_types import TENSORRT_TYPES
from export.quantization.onnx_int8 import lower_int8_for_tensorrt
from export.quantization.onnx_precision import node_precisions, weight_types
from export.recipe import INT8
from sdk.spec import Spec


class TensorRTGraphLowering(OnnxLowering):
    """`_trt.onnx`: what `edgewright build --precision int8` takes on a Jetson; ONNX Runtime proves it here.

    In fp32 and fp16 the ordinary `.onnx` does for both. In int8 it does not: TensorRT takes signed symmetric
    numbers alone, and ONNX Runtime is faster with others.
    """

    suffix = "_trt.onnx"
    precisions = (INT8,)

    def lower_graph(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `OnnxLowering.lower_graph`. In fp32, which the gain is measured against, it is `.onnx`."""
        recipe = request.recipe
        if recipe.precision != INT8:
            return super().lower_graph(network, spec, request)
        payload, baked_spec, calibration = lower_int8_for_tensorrt(network, spec, recipe, request.calibration)
        record = {
            "requested": recipe.precision,
            "nodes": node_precisions(payload),
            "weights": weight_types(payload),
            "types": TENSORRT_TYPES.to_json(),
            "granularity": recipe.granularity,
            "kept": list(recipe.keep),
        }
        return Lowered(payload, baked_spec, record, calibration=calibration)

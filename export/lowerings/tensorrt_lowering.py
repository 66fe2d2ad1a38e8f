"""Lower to TensorRT by way of the ONNX graph, built in a process of its own."""

from __future__ import annotations

from torch import nn

from export.lowering import FP16, FP32, Lowered, Lowering, Request
from export.lowerings.onnx_lowering import lower_to_onnx
from runtimes.cuda_memory import gpu_count
from runtimes.tensorrt_build_process import build_in_subprocess
from runtimes.tensorrt_builder import choose_package
from runtimes.tensorrt_options import BuildOptions
from sdk.spec import Spec


class TensorRTLowering(Lowering):
    """`.trt` for NVIDIA GPUs: for the one at hand, or with TensorRT-RTX for those of PCs ahead of time."""

    suffix = ".trt"
    precisions = (FP32, FP16)

    def check(self, precision: str) -> None:
        """See `Lowering.check`."""
        super().check(precision)
        choose_package(None, gpu_count() > 0)

    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `Lowering.lower`. FP16 is written into the graph, which TensorRT then builds as it is typed."""
        onnx_bytes, baked_spec = lower_to_onnx(network, spec, request.precision)
        options = BuildOptions(request.precision, request.max_batch)
        built = build_in_subprocess(onnx_bytes, options)
        facts = {
            "builder": built.tools,
            "built_for": list(built.targets),
            "build_s": round(built.build_s, 2),
        }
        bounded = baked_spec.with_max_batch(built.max_batch)
        return Lowered(built.plan, bounded, built.precision_record(), facts)

"""Lower to TensorRT with torch2trt, which builds layer by layer from the running network, without ONNX.

The alternative on JetPack 5 and 6 for a network that the ONNX route refuses. torch2trt sets the builder's
FP16 switch, which TensorRT 11 no longer has, and knows no uint8: the network is lowered as it is and the
host keeps normalising, which the artifact's contract says.
"""

from __future__ import annotations

import copy
from importlib import import_module
from typing import Any

from torch import nn

from export.bake import example_input
from export.lowering import FP16, FP32, Lowered, Lowering, Request, at_fixed_size
from runtimes import EngineError, EngineMissingError
from runtimes.cuda_memory import open_cuda
from runtimes.errors import first_line
from runtimes.tensorrt_layers import check_precision, engine_layers, precision_counts
from runtimes.tensorrt_package import TENSORRT, Package, load_package
from sdk.spec import Spec

LAST_TENSORRT = 10


class Torch2trtLowering(Lowering):
    """`.trt` through torch2trt, for the GPU at hand."""

    suffix = ".trt"
    precisions = (FP32, FP16)

    def check(self, precision: str) -> None:
        """See `Lowering.check`."""
        super().check(precision)
        _import_torch2trt()
        open_cuda()

    def lower(self, network: nn.Module, spec: Spec, request: Request) -> Lowered:
        """See `Lowering.lower`. Nothing is baked."""
        package, torch2trt = _import_torch2trt()
        open_cuda()
        spec = at_fixed_size(spec)
        smallest, largest = example_input(spec, 1), example_input(spec, request.max_batch)
        shapes = [tuple(tensor.shape) for tensor in smallest]
        graph = spec.graph()
        try:
            converted = torch2trt.torch2trt(
                copy.deepcopy(network).eval().cuda(),
                [tensor.cuda() for tensor in smallest],
                input_names=[info.name for info in graph.inputs],
                output_names=[info.name for info in graph.outputs],
                fp16_mode=request.precision == FP16,
                min_shapes=shapes,
                opt_shapes=shapes,
                max_shapes=[tuple(tensor.shape) for tensor in largest],
            )
            plan = bytes(converted.engine.serialize())
        except Exception as error:  # converters raise whatever they meet
            raise EngineError(
                "torch2trt",
                got=first_line(error),
                expected="a network it has converters for",
                fix="Lower by way of ONNX instead: --to trt.",
            ) from error
        precision = _read_back(package, converted.engine, request.precision)
        facts = {
            "builder": {
                "torch2trt": str(getattr(torch2trt, "__version__", "unknown")),
                package.name: package.version,
            }
        }
        return Lowered(plan, spec.with_max_batch(request.max_batch), precision, facts)


def _import_torch2trt() -> tuple[Package, Any]:
    """TensorRT and torch2trt.

    Raises:
        EngineMissingError: One of them is not installed.
        EngineError: TensorRT is too new for torch2trt.
    """
    package = load_package(TENSORRT)
    if int(package.version.split(".")[0]) > LAST_TENSORRT:
        raise EngineError(
            "torch2trt",
            got=f"TensorRT {package.version}",
            expected=f"TensorRT {LAST_TENSORRT} or earlier, whose builder has an FP16 switch",
            fix="Lower by way of ONNX instead: --to trt.",
        )
    try:
        return package, import_module("torch2trt")
    except ImportError as error:
        raise EngineMissingError(
            "Package torch2trt",
            got=f"no usable package ({first_line(error)})",
            expected="torch2trt",
            fix="Install it from NVIDIA's repository NVIDIA-AI-IOT/torch2trt, or use --to trt.",
        ) from error


def _read_back(package: Package, engine: Any, requested: str) -> dict[str, Any]:
    """What the engine tells of its layers. torch2trt builds without layer details: often nothing."""
    layers = [layer for layer in engine_layers(package.module, engine) if layer.computes]
    if not layers:
        return {"requested": requested, "layers": {}, "read_from": "nothing: built without layer details"}
    check_precision(requested, layers)
    return {"requested": requested, "layers": precision_counts(layers), "read_from": "engine"}

"""The builder's configuration: which GPUs to build for, and what the builder may do to reach a precision."""

from __future__ import annotations

from typing import Any

from runtimes.errors import UsageError
from runtimes.tensorrt_layers import FP16, FP32, INT8, is_kept
from runtimes.tensorrt_network import Parsed
from runtimes.tensorrt_options import BuildOptions
from runtimes.tensorrt_package import TENSORRT_RTX, Package

# GPU generations that TensorRT-RTX can build for without having one: Turing, Ampere, Ada, Blackwell.
# It has no FP32 matrix product for Turing (SM75) and refuses the whole build, hence the shorter lists: an
# int8 graph dequantises into one.
AHEAD_OF_TIME = {
    FP16: ("SM75", "SM80", "SM86", "SM89", "SM120"),
    FP32: ("SM80", "SM86", "SM89", "SM120"),
    INT8: ("SM80", "SM86", "SM89", "SM120"),
}
CURRENT_GPU = ("CURRENT",)


def configure(
    package: Package, parsed: Parsed, options: BuildOptions, has_gpu: bool
) -> tuple[Any, tuple[str, ...]]:
    """What to build with, and the GPU generations that it is for.

    Raises:
        UsageError: An option does not fit this TensorRT.
    """
    trt = package.module
    config = parsed.builder.create_builder_config()
    # Without it the inspector tells names only, and the precision could not be read back.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # TF32 keeps 10 bits of the mantissa: an engine called fp32 would miss its checkpoint by 1e-3.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if options.sparse:
        _allow_sparse(package, config)
    if parsed.precision == FP16 and not parsed.typed:
        _demand_fp16(trt, parsed, config, options.kept)
    if parsed.precision == INT8 and not parsed.typed:
        config.set_flag(trt.BuilderFlag.INT8)  # the permission to do what Q/DQ layers say
    if package.name != TENSORRT_RTX:
        return config, CURRENT_GPU
    targets = options.compute_capabilities or (CURRENT_GPU if has_gpu else _ahead_of_time(parsed))
    known = trt.ComputeCapability.__members__
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        if target not in known or not config.set_compute_capability(known[target], index):
            raise UsageError(
                "Option 'compute_capabilities'",
                got=repr(target),
                expected=f"some of {[name for name in known if name != 'NONE']}",
                fix="Choose a generation that this TensorRT-RTX can build for.",
            )
    return config, tuple(targets)


def _ahead_of_time(parsed: Parsed) -> tuple[str, ...]:
    wide = any(layer.computes and layer.dtype == "float32" for layer in parsed.layers)
    return AHEAD_OF_TIME[FP32 if wide else parsed.precision]


def _allow_sparse(package: Package, config: Any) -> None:
    flag = getattr(package.module.BuilderFlag, "SPARSE_WEIGHTS", None)
    if flag is None:
        raise UsageError(
            "Option 'sparse'",
            got=f"{package.name} {package.version}, which has no kernels for sparse weights",
            expected="TensorRT 8 or later",
            fix="Leave it out.",
        )
    config.set_flag(flag)


def _demand_fp16(trt: Any, parsed: Parsed, config: Any, kept: tuple[str, ...]) -> None:
    """Up to TensorRT 10: the FP16 switch alone is a permission, so each compute layer is bound to a type."""
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    bound = {layer.name: is_kept(layer, kept) for layer in parsed.layers if layer.computes}
    for index in range(parsed.network.num_layers):
        layer = parsed.network.get_layer(index)
        if layer.name in bound:
            layer.precision = trt.DataType.FLOAT if bound[layer.name] else trt.DataType.HALF

"""Building a TensorRT engine from an ONNX graph. Needs neither torch nor the onnx package.

TensorRT-RTX builds for several GPU generations on a machine that has none; ``tensorrt`` builds for the
GPU at hand. Call `runtimes.tensorrt_build_process.build_in_subprocess` rather than `build_engine`: large
builds have crashed in processes that had torch and ONNX Runtime loaded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from runtimes.base import Dim, TensorInfo
from runtimes.cuda_memory import gpu_count
from runtimes.errors import DeviceError, EngineError, EngineMissingError, UsageError
from runtimes.tensorrt_layers import FP16, FP32, Layer, check_precision, engine_layers, precision_counts
from runtimes.tensorrt_network import Parsed, add_profile, output_dtypes, parse
from runtimes.tensorrt_options import BuildOptions
from runtimes.tensorrt_package import PACKAGES, TENSORRT, TENSORRT_RTX, Package, load_package

FROM_ENGINE = "engine"
FROM_NETWORK = "parsed network"

# GPU generations that TensorRT-RTX can build for without having one: Turing, Ampere, Ada, Blackwell.
# It has no FP32 matrix product for Turing (SM75) and refuses the whole build, hence the shorter list.
AHEAD_OF_TIME = {
    FP16: ("SM75", "SM80", "SM86", "SM89", "SM120"),
    FP32: ("SM80", "SM86", "SM89", "SM120"),
}
CURRENT_GPU = ("CURRENT",)


@dataclass(frozen=True)
class BuiltEngine:
    """A finished plan, and what was read back from it.

    Attributes:
        plan: The serialised engine.
        precision: ``fp32`` or ``fp16``; checked against `layers`.
        layers: Layers with their dtypes.
        read_from: `FROM_ENGINE`, or `FROM_NETWORK` where the engine could not be opened or tells nothing.
        inputs: Inputs with the bounds of the optimisation profile.
        outputs: Dtype by output name.
        targets: GPU generations it runs on; ``CURRENT`` for the GPU it was built on.
        tools: Package and version that built it.
        build_s: Seconds it took.
    """

    plan: bytes
    precision: str
    layers: tuple[Layer, ...]
    read_from: str
    inputs: tuple[TensorInfo, ...]
    outputs: dict[str, str]
    targets: tuple[str, ...]
    tools: dict[str, str]
    build_s: float

    @property
    def max_batch(self) -> int:
        """Largest batch that the engine takes."""
        extent = self.inputs[0].shape[0]
        return (extent.max or extent.min) if isinstance(extent, Dim) else extent

    def precision_record(self) -> dict[str, Any]:
        """For an artifact's evidence: what was asked, what came out, and where that was read."""
        counts = precision_counts(layer for layer in self.layers if layer.computes)
        return {"requested": self.precision, "layers": counts, "read_from": self.read_from}


def build_engine(onnx_bytes: bytes, options: BuildOptions) -> BuiltEngine:
    """Build a TensorRT engine in this process.

    Args:
        onnx_bytes: A complete ONNX model, weights included.
        options: What to build.

    Raises:
        EngineMissingError: No TensorRT is installed.
        DeviceError: The package that was asked for needs a GPU, and there is none.
        EngineError: TensorRT cannot parse or build the graph.
        UsageError: An option does not fit the graph; or an FP16 engine of an FP32 graph was asked for
            where TensorRT has no switch for it.
        ProofError: The precision that came out is not the one asked for.
    """
    started = time.perf_counter()
    has_gpu = gpu_count() > 0
    package = choose_package(options.package, has_gpu)
    parsed = parse(package, onnx_bytes, options.precision)
    known = parsed.layers if parsed.typed else ()
    if parsed.typed:
        check_precision(parsed.precision, known)
    config, targets = _configure(package, parsed, options, has_gpu)
    inputs = add_profile(parsed, config, options)
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise EngineError(
            "TensorRT build",
            got=package.complaint(),
            expected="a graph that it can build",
            fix="Change the layer that it names, or use the .onnx artifact.",
        )
    raw = bytes(plan)
    layers, read_from = _read_back(package, raw, known) if has_gpu else (known, FROM_NETWORK)
    check_precision(parsed.precision, layers)
    return BuiltEngine(
        raw,
        parsed.precision,
        layers,
        read_from,
        inputs,
        output_dtypes(parsed),
        targets,
        {package.name: package.version},
        time.perf_counter() - started,
    )


def choose_package(name: str | None, has_gpu: bool) -> Package:
    """The package asked for, else the first that is installed and can build here.

    Raises:
        EngineMissingError: It is not installed.
        DeviceError: ``tensorrt`` was asked for, and there is no GPU.
    """
    if name == TENSORRT and not has_gpu:
        raise DeviceError(
            "GPU",
            got="none on this machine",
            expected=f"one, because {TENSORRT} builds only for the GPU at hand",
            fix="Build on the device, or for PCs: pip install 'edgewright[tensorrt-rtx]'.",
        )
    if name is not None:
        return load_package(name)
    for candidate in PACKAGES if has_gpu else ():
        try:
            return load_package(candidate)
        except EngineMissingError:
            continue
    return load_package(TENSORRT_RTX)


def _configure(
    package: Package, parsed: Parsed, options: BuildOptions, has_gpu: bool
) -> tuple[Any, tuple[str, ...]]:
    trt = package.module
    config = parsed.builder.create_builder_config()
    # Without it the inspector tells names only, and the precision could not be read back.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # TF32 keeps 10 bits of the mantissa: an engine called fp32 would miss its checkpoint by 1e-3.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if parsed.precision == FP16 and not parsed.typed:
        _demand_fp16(trt, parsed, config)
    if package.name != TENSORRT_RTX:
        return config, CURRENT_GPU
    targets = options.compute_capabilities or (CURRENT_GPU if has_gpu else AHEAD_OF_TIME[parsed.precision])
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


def _demand_fp16(trt: Any, parsed: Parsed, config: Any) -> None:
    """Up to TensorRT 10: the FP16 switch alone is a permission, so each compute layer is bound to it."""
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    bound = {layer.name for layer in parsed.layers if layer.computes}
    for index in range(parsed.network.num_layers):
        layer = parsed.network.get_layer(index)
        if layer.name in bound:
            layer.precision = trt.DataType.HALF


def _read_back(package: Package, plan: bytes, known: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], str]:
    """Layers of the finished engine; `known` where it tells nothing of those that compute."""
    runtime = package.module.Runtime(package.log)
    engine = runtime.deserialize_cuda_engine(plan)
    layers = () if engine is None else engine_layers(package.module, engine)
    if any(layer.computes for layer in layers):
        return layers, FROM_ENGINE
    return known, FROM_NETWORK

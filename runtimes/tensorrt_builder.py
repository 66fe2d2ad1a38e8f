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
from runtimes.errors import DeviceError, EngineError, EngineMissingError
from runtimes.tensorrt_config import configure
from runtimes.tensorrt_layers import (
    Layer,
    check_precision,
    engine_layers,
    not_as_requested,
    precision_counts,
)
from runtimes.tensorrt_network import add_profile, output_dtypes, parse
from runtimes.tensorrt_options import BuildOptions
from runtimes.tensorrt_package import PACKAGES, TENSORRT, TENSORRT_RTX, Package, load_package

FROM_ENGINE = "engine"
FROM_NETWORK = "parsed network"


@dataclass(frozen=True)
class BuiltEngine:
    """A finished plan, and what was read back from it.

    Attributes:
        plan: The serialised engine.
        precision: ``fp32``, ``fp16`` or ``int8``; checked against `layers`.
        layers: Layers with their dtypes.
        read_from: `FROM_ENGINE`, or `FROM_NETWORK` where the engine could not be opened or tells nothing.
        inputs: Inputs with the bounds of the optimisation profile.
        outputs: Dtype by output name.
        targets: GPU generations it runs on; ``CURRENT`` for the GPU it was built on.
        tools: Package and version that built it.
        build_s: Seconds it took.
        kept: ONNX nodes that were meant to stay in a higher precision.
        sparse: Whether kernels for 2:4 sparse weights were allowed.
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
    kept: tuple[str, ...] = ()
    sparse: bool = False

    @property
    def max_batch(self) -> int:
        """Largest batch that the engine takes."""
        extent = self.inputs[0].shape[0]
        return (extent.max or extent.min) if isinstance(extent, Dim) else extent

    def precision_record(self) -> dict[str, Any]:
        """For an artifact's evidence: what was asked, what came out, where that was read, what differs."""
        return {
            "requested": self.precision,
            "layers": precision_counts(layer for layer in self.layers if layer.computes),
            "read_from": self.read_from,
            "kept_nodes": list(self.kept),
            "not_as_requested": not_as_requested(self.precision, self.layers, self.kept),
        }


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
        check_precision(parsed.precision, known, options.kept)
    config, targets = configure(package, parsed, options, has_gpu)
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
    check_precision(parsed.precision, layers, options.kept)
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
        options.kept,
        options.sparse,
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


def _read_back(package: Package, plan: bytes, known: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], str]:
    """Layers of the finished engine; `known` where it tells nothing of those that compute."""
    runtime = package.module.Runtime(package.log)
    engine = runtime.deserialize_cuda_engine(plan)
    layers = () if engine is None else engine_layers(package.module, engine)
    if any(layer.computes for layer in layers):
        return layers, FROM_ENGINE
    return known, FROM_NETWORK

"""Small `.onnx` artifacts and a stand-in GPU for tests of `edgewright build`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtimes import Dim, TensorInfo
from runtimes.tensorrt_builder import FROM_ENGINE, BuiltEngine
from runtimes.tensorrt_layers import Layer
from runtimes.tensorrt_options import BuildOptions
from sdk import engine_build
from sdk.artifact import MANIFEST_VERSION, PROVED, Evidence, GoldenSample, Manifest, write_artifact
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec
from tests.runtimes.tensorrt_stand_in import TensorRTStandIn, install, make_plan

PARENT = "ab" * 32
TOLERANCE = 1e-3  # of the .onnx artifact; the stand-in is exact
MATRIX = np.random.default_rng(3).normal(size=(64, 3)) / 1000


def make_model(
    path: Path, onnx_bytes: bytes, offset: float = 0.0, precision: dict[str, Any] | None = None
) -> Path:
    """An .onnx artifact with two golden samples, `offset` away from what the stand-in answers."""
    image = ImageInput(
        "grey",
        (8, 8),
        "stretch",
        None,
        "bilinear",
        (0, 0, 0),
        (255, 255, 255),
        1 / 255,
        (0.0,),
        (1.0,),
        "full",
        ("identity",),
    )
    spec = Spec(
        SPEC_VERSION,
        "small",
        "product",
        image,
        ClassificationOutput(("bag", "hat", "shoe"), "softmax", 3, 1.0),
        (
            Graph(
                "main",
                (TensorInfo("image", "uint8", (Dim(), 8, 8, 1)),),
                (TensorInfo("scores", "float32", (Dim(), 3)),),
            ),
        ),
        ("colour_order", "layout", "cast", "normalise", "views", "activation"),
        Network("small_cnn", {}),
    )
    samples = tuple(_sample(seed, offset) for seed in range(2))
    evidence = Evidence(
        PROVED, "2026-01-02T03:04:05+00:00", PARENT, precision or {}, TOLERANCE, None, (), {"onnx": "1"}
    )
    write_artifact(path, onnx_bytes, Manifest(MANIFEST_VERSION, spec, samples, evidence, ""))
    return path


def _sample(seed: int, offset: float) -> GoldenSample:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    answer = (pixels.reshape(-1) @ MATRIX + offset).astype(np.float32)
    return GoldenSample.of(png.getvalue(), {"scores": answer})


def stand_in_gpu(
    monkeypatch: pytest.MonkeyPatch, builds: list[BuildOptions], version: str = "10.3.0"
) -> TensorRTStandIn:
    """As the fixture `gpu`; each build leaves its options in `builds`."""
    plan = make_plan(
        version,
        inputs=[["image", "UINT8", [-1, 8, 8, 1]]],
        profile={"image": [[1, 8, 8, 1], [1, 8, 8, 1], [4, 8, 8, 1]]},
        matrix=MATRIX.tolist(),
    )

    def build(onnx_bytes: bytes, options: BuildOptions) -> BuiltEngine:
        builds.append(options)
        precision = options.precision or "fp32"
        dtype = {"fp32": "float32", "fp16": "float16", "int8": "int8"}[precision]
        return BuiltEngine(
            plan,
            precision,
            (Layer("conv1", "CONVOLUTION", dtype), Layer("fc", "MATRIX_MULTIPLY", "float32")),
            FROM_ENGINE,
            (TensorInfo("image", "uint8", (Dim(1, 4), 8, 8, 1)),),
            {"scores": "float32"},
            ("CURRENT",),
            {"tensorrt": version},
            1.5,
            options.kept,
            options.sparse,
        )

    monkeypatch.setattr(engine_build, "build_in_subprocess", build)
    return install(monkeypatch, version)

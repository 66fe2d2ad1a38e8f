"""A spec and artifacts that need no engine, for tests of everything above the runtimes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtimes import Dim, TensorInfo
from sdk.artifact import (
    MANIFEST_VERSION,
    PROVED,
    Evidence,
    GoldenSample,
    Manifest,
    write_artifact,
)
from sdk.inputs.image import ImageInput
from sdk.outputs.classification import ClassificationOutput
from sdk.spec import SPEC_VERSION, Graph, Network, Spec

BAKED = ("colour_order", "layout", "cast", "normalise", "views", "activation")
LABELS = ("shirt", "shoe", "bag")


def image_input(**changes: object) -> ImageInput:
    plain = ImageInput(
        channels="rgb",
        size_wh=(4, 4),
        resize="stretch",
        shortest_px=None,
        filter="bilinear",
        pad_colour=(114, 114, 114),
        alpha_colour=(255, 255, 255),
        scale=1 / 255,
        mean=(0.5, 0.4, 0.3),
        std=(0.25, 0.5, 1.0),
        jpeg_scaling="full",
        views=("identity",),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def make_spec(batch: Dim | int = Dim(), **changes: object) -> Spec:
    graph = Graph(
        "main",
        (TensorInfo("image", "uint8", (batch, 4, 4, 3)),),
        (TensorInfo("scores", "float32", (batch, 3)),),
    )
    plain = Spec(
        version=SPEC_VERSION,
        name="product",
        task="product",
        input=image_input(),
        output=ClassificationOutput(LABELS, "softmax", 2, 1.0),
        graphs=(graph,),
        baked=BAKED,
        network=Network("compact_cnn", {"classes": 3}),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def make_manifest(spec: Spec, samples: tuple[GoldenSample, ...] = (), tolerance: float = 1e-3) -> Manifest:
    evidence = Evidence(PROVED, "2026-01-01T00:00:00+00:00", None, {}, tolerance, None, (), {})
    return Manifest(MANIFEST_VERSION, spec, samples, evidence, "")


ROWS = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]


def fake_payload(batch: int | None = None) -> bytes:
    """Row number: sum of the picture's bytes modulo 3."""
    table = {
        "inputs": [["image", "uint8", [batch, 4, 4, 3]]],
        "outputs": [["scores", "float32", [batch, 3]]],
        "rows": ROWS,
    }
    return json.dumps(table).encode()


def picture(row: int) -> np.ndarray:
    """A picture that the fake engine answers with `ROWS[row]`."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0, 0, 0] = row
    return pixels


@pytest.fixture
def fake_artifact(tmp_path: Path) -> Path:
    path = tmp_path / "product.fake"
    write_artifact(path, fake_payload(), make_manifest(make_spec()))
    return path

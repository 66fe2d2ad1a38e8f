"""Pictures of any size: what is resized, what is mirrored, and that all of it is undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtimes import Dim, SpecError, TensorInfo
from sdk.inputs.free_image import FreeImageInput
from sdk.inputs.image import ImageInput
from sdk.kinds import InputKind
from sdk.outputs.picture import at_original_size
from sdk.spec import Graph

FIELDS: dict[str, Any] = {
    "channels": "rgb", "size_wh": (32, 32), "resize": "stretch", "shortest_px": None, "filter": "bicubic",
    "pad_colour": (0, 0, 0), "alpha_colour": (255, 255, 255), "scale": 1 / 255, "mean": (0.0,) * 3,
    "std": (1.0,) * 3, "jpeg_scaling": "full", "views": ("identity",), "smallest_px": 16, "largest_px": 64,
    "multiple_px": 4,
}  # fmt: skip


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("original", "fed"),
    [
        ((40, 24), (40, 24)),
        ((41, 27), (44, 28)),
        ((1, 1), (16, 16)),
        ((8, 20), (16, 40)),
        ((640, 320), (64, 32)),
        ((1, 4000), (16, 64)),
    ],
    ids=["as it is", "mirrored to fours", "one pixel", "too small", "too large", "both"],
)
def test_free_image_is_fed_at_its_own_size_where_that_is_possible(
    original: tuple[int, int], fed: tuple[int, int]
) -> None:
    sample = FreeImageInput(**FIELDS).load(picture(*original))
    assert sample.arrays["image"].shape == (*fed, 3)
    assert at_original_size(sample.arrays["image"], sample).shape == (*original, 3)


@pytest.mark.parametrize("size", [(40, 24), (41, 27), (17, 63)], ids=str)
def test_free_image_comes_back_pixel_by_pixel(size: tuple[int, int]) -> None:
    original = picture(*size)
    sample = FreeImageInput(**FIELDS).load(original)
    assert np.array_equal(at_original_size(sample.arrays["image"], sample), original)


def test_free_image_borders_are_mirrored_not_black() -> None:
    sample = FreeImageInput(**FIELDS).load(np.full((17, 18, 3), 200, np.uint8))
    assert sample.arrays["image"].min() == 200


def test_free_image_takes_one_picture_a_call() -> None:
    infos = (TensorInfo("image", "float32", (Dim(), 3, Dim(16), Dim(16))),)
    assert FreeImageInput(**FIELDS).batch_of(infos) == Dim(1, 1)


def test_free_image_is_a_stretched_one_for_engines_of_fixed_size() -> None:
    kind = FreeImageInput(**FIELDS)
    shape = (Dim(), 3, Dim(16), Dim(16))
    graph = Graph(
        "main", (TensorInfo("image", "float32", shape),), (TensorInfo("picture", "float32", shape),)
    )
    (fixed,) = kind.variants(graph)
    assert fixed.name == "main"
    assert fixed.inputs[0].shape == fixed.outputs[0].shape == (Dim(), 3, 32, 32)
    stretched = kind.for_variants()
    assert type(stretched) is ImageInput
    assert stretched.load(picture(50, 20)).arrays["image"].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"resize": "letterbox"}, "spec.input.resize"),
        ({"smallest_px": 0}, "spec.input.smallest_px"),
        ({"largest_px": 16}, "spec.input.largest_px"),
        ({"multiple_px": 3}, "a divisor of all sizes"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_free_image_with_contradicting_sizes_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        FreeImageInput(**{**FIELDS, **wrong})


def test_free_image_survives_json() -> None:
    kind = FreeImageInput(**FIELDS)
    assert InputKind.from_json(kind.to_json(), "spec.input") == kind

"""Painted pictures: levels, differences, and the way back to the original's size."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from runtimes import EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.outputs.picture import PICTURE, PictureOutput, at_original_size, to_uint8
from sdk.results import GeneratedImage
from sdk.stream.overlay import draw_on_frame


def test_picture_levels_are_rounded_to_even_and_clamped() -> None:
    brightness = np.array([-1.0, 0.0, 0.5 / 255, 1.5 / 255, 0.4, 1.0, 7.0], np.float32)
    levels = to_uint8(brightness.reshape(1, 1, 1, -1))
    assert levels.shape == (1, 1, 7, 1)
    assert levels.ravel().tolist() == [0, 0, 0, 2, 102, 255, 255]


def test_picture_with_nan_is_refused() -> None:
    with pytest.raises(EngineError, match="got NaN, expected brightnesses"):
        PictureOutput("rgb").activate({PICTURE: np.full((1, 3, 2, 2), np.nan, np.float32)}, ())


def test_picture_difference_is_the_mean_of_the_worst_picture() -> None:
    one = np.full((2, 4, 4, 3), 100, np.uint8)
    other = one.copy()
    other[1, :2] += 51  # half of the second picture by a fifth of the range
    found = PictureOutput("rgb").difference({PICTURE: one}, {PICTURE: other})
    assert found == pytest.approx(0.1)
    assert PictureOutput("rgb").difference({PICTURE: other}, {PICTURE: one}) == pytest.approx(0.1)


def test_picture_without_geometry_stays_as_it_is() -> None:
    pixels = np.zeros((5, 7, 1), np.uint8)
    (result,) = PictureOutput("grey").read({PICTURE: pixels[None]}, [Sample({}, 3, {})])
    assert result.size_wh == (7, 5)
    assert result.source == 3


def test_picture_of_a_stretched_photo_gets_its_size_back() -> None:
    geometry = {
        "width": 40.0,
        "height": 10.0,
        "scale_x": 0.4,
        "scale_y": 1.6,
        "offset_x": 0.0,
        "offset_y": 0.0,
    }
    sample = Sample({"image": np.zeros((16, 16, 3), np.uint8)}, None, geometry)
    painted = np.zeros((16, 16, 3), np.uint8)
    painted[:8] = 200
    found = at_original_size(painted, sample)
    assert found.shape == (10, 40, 3)
    assert found[0].min() > 190
    assert found[-1].max() < 10


def test_picture_result_says_itself_and_plots_itself() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    result = GeneratedImage(pixels, None)
    told = result.to_dict()
    assert told["size_wh"] == [9, 6]
    stored = np.asarray(Image.open(io.BytesIO(b64decode(told["picture_png"]))))
    assert np.array_equal(stored, pixels)
    assert result.summary() == "9×6 px, RGB"
    assert np.array_equal(np.asarray(result.plot()), pixels)
    assert np.array_equal(np.asarray(draw_on_frame(result)), pixels)


def test_picture_kind_survives_json_and_refuses_other_channels() -> None:
    kind = PictureOutput("grey")
    assert OutputKind.from_json(kind.to_json(), "spec.output") == kind
    with pytest.raises(SpecError, match="got 'cmyk'"):
        PictureOutput("cmyk")

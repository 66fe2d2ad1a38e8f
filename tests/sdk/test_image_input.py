"""Resizing, cropping and normalising: against torchvision and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from runtimes import SpecError
from sdk.inputs.image import FILTERS, GOLDEN_LONGEST_PX, ImageInput
from tests.sdk.conftest import image_input

PHOTO = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)


def array_of(image: ImageInput, item: object) -> np.ndarray:
    return image.load(item).arrays["image"]


def test_load_is_uint8_hwc_in_the_stated_size() -> None:
    assert array_of(image_input(size_wh=(8, 6)), PHOTO).shape == (6, 8, 3)
    grey = image_input(channels="grey", size_wh=(8, 6), mean=(0.5,), std=(0.5,))
    found = array_of(grey, PHOTO)
    assert (found.shape, found.dtype) == ((6, 8, 1), np.uint8)


def test_load_same_size_touches_nothing() -> None:
    image = image_input(size_wh=(53, 37))
    np.testing.assert_array_equal(array_of(image, PHOTO), PHOTO)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_load_stretch_uses_the_named_filter(name: str) -> None:
    expected = np.asarray(Image.fromarray(PHOTO).resize((16, 12), FILTERS[name]))
    np.testing.assert_array_equal(array_of(image_input(size_wh=(16, 12), filter=name), PHOTO), expected)


def test_load_letterbox_centres_on_the_pad_colour_and_tells_how() -> None:
    image = image_input(size_wh=(20, 20), resize="letterbox", pad_colour=(1, 2, 3))
    sample = image.load(np.full((10, 20, 3), 200, np.uint8))
    array = sample.arrays["image"]
    np.testing.assert_array_equal(array[:5], np.broadcast_to((1, 2, 3), (5, 20, 3)))
    np.testing.assert_array_equal(array[5:15], np.full((10, 20, 3), 200))
    np.testing.assert_array_equal(array[15:], np.broadcast_to((1, 2, 3), (5, 20, 3)))
    assert sample.geometry == {
        "width": 20.0, "height": 10.0, "scale_x": 1.0, "scale_y": 1.0, "offset_x": 0.0, "offset_y": 5.0,
    }  # fmt: skip


@pytest.mark.parametrize("size_hw", [(37, 53), (53, 37), (40, 40), (224, 300), (31, 200)])
def test_load_shortest_side_and_centre_crop_equal_torchvision(size_hw: tuple[int, int]) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2", reason="torchvision is not installed")
    picture = Image.fromarray(np.random.default_rng(2).integers(0, 256, (*size_hw, 3), dtype=np.uint8))
    expected = v2.CenterCrop(24)(v2.Resize(30, interpolation=v2.InterpolationMode.BILINEAR)(picture))
    image = image_input(size_wh=(24, 24), resize="shortest", shortest_px=30)
    np.testing.assert_array_equal(array_of(image, picture), np.asarray(expected))


def test_load_geometry_of_a_crop_maps_points() -> None:
    image = image_input(size_wh=(10, 10), resize="shortest", shortest_px=10)
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[10:12, 20:22] = 255  # becomes one bright pixel at (5, 5) of the cropped array
    sample = image.load(pixels)
    geometry = sample.geometry
    x = 20 * geometry["scale_x"] + geometry["offset_x"]
    y = 10 * geometry["scale_y"] + geometry["offset_y"]
    array = sample.arrays["image"][:, :, 0]
    assert (x, y) == (5.0, 5.0)
    assert np.unravel_index(array.argmax(), array.shape) == (5, 5)


def test_batch_unbaked_is_normalised_nchw() -> None:
    image = image_input(size_wh=(2, 1))
    pixels = np.array([[[255, 0, 51], [0, 255, 102]]], np.uint8)
    array = image.batch([image.load(pixels)], ())["image"]
    expected = np.array(
        [[[[(1 - 0.5) / 0.25, -0.5 / 0.25]], [[-0.4 / 0.5, 0.6 / 0.5]], [[0.2 - 0.3, 0.4 - 0.3]]]]
    )
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, expected, atol=1e-6)  # float32 rounding


def test_batch_bgr_swaps_channels_before_normalising() -> None:
    pixels = np.array([[[255, 0, 51]]], np.uint8)
    image = image_input(channels="bgr", size_wh=(1, 1), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    array = image.batch([image.load(pixels)], ())["image"]
    np.testing.assert_allclose(array.ravel(), [0.2, 0.0, 1.0], atol=1e-6)


def test_batch_baked_is_the_stack_of_bytes() -> None:
    image = image_input()
    samples = [image.load(PHOTO), image.load(PHOTO[::-1])]
    array = image.batch(samples, ImageInput.bakeable)["image"]
    assert (array.shape, array.dtype) == ((2, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(array[1], samples[1].arrays["image"])


def test_encode_loads_back_to_the_same_array_and_shrinks_large_pictures() -> None:
    image = image_input(size_wh=(16, 16))
    sample = image.load(PHOTO)
    np.testing.assert_array_equal(array_of(image, image.encode(sample.source)), sample.arrays["image"])
    large = image.encode(Image.new("RGB", (3000, 1000)))
    assert max(image.load(large).source.size) == GOLDEN_LONGEST_PX


def test_real_photos_load_in_every_way(shared_data) -> None:  # type: ignore[no-untyped-def]
    for path in sorted((shared_data / "photos").iterdir()):
        for resize, shortest in (("stretch", None), ("letterbox", None), ("shortest", 256)):
            image = image_input(size_wh=(224, 224), resize=resize, shortest_px=shortest)
            assert array_of(image, path).shape == (224, 224, 3)


def test_batch_shows_every_view_of_a_picture_the_first_view_first() -> None:
    plain = image_input(size_wh=(4, 4), views=("identity",))
    image = image_input(size_wh=(4, 4), views=("identity", "mirror", "flip", "turn"))
    samples = [
        image.load(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)) for seed in (1, 2)
    ]
    as_is = plain.batch(samples, ())["image"]
    found = image.batch(samples, ())["image"]
    expected = [as_is, as_is[..., ::-1], as_is[..., ::-1, :], as_is[..., ::-1, ::-1]]
    np.testing.assert_array_equal(found, np.concatenate(expected))
    assert (image.rows_per_item(()), image.rows_per_item(image.bakeable)) == (4, 1)
    assert image.batch(samples, image.bakeable)["image"].shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    "views", [(), ("identity", "identity"), ("sideways",)], ids=["none", "twice", "unknown"]
)
def test_image_input_refuses_views(views: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match=r"spec.input.views: got .* expected different ones of"):
        image_input(views=views)

"""From maps of class scores to a mask at the size of the original picture."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from runtimes import Array, EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.outputs.segmentation import LOGITS, PROBABILITIES, SegmentationOutput, mask_of
from sdk.results import Segmentation
from sdk.results.segmentation import UNSEEN
from sdk.results.segmentation_picture import overlay, palette
from tests.sdk.conftest import image_input

LABELS = ("nothing", "shirt", "shoe")
OUTPUT = SegmentationOutput(LABELS, "softmax")
# float32 exp and division against float64's.
TOLERANCE = 1e-6


def sample(size_wh: tuple[int, int], **how: object) -> Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    return image_input(**{"size_wh": (16, 16), **how}).load(pixels)


def maps_of(classes: Array, count: int = 3) -> Array:
    """Certain maps float32 (count, h, w) of class indices (h, w)."""
    return (classes == np.arange(count)[:, None, None]).astype(np.float32)


def test_activation_is_a_softmax_over_the_classes_of_each_pixel() -> None:
    logits = np.random.default_rng(1).normal(0, 30, (2, 3, 4, 5)).astype(np.float32)
    got = OUTPUT.activate({LOGITS: logits}, ())[PROBABILITIES]
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, powers / powers.sum(axis=1, keepdims=True), atol=TOLERANCE)


def test_activation_that_the_graph_did_is_not_done_again() -> None:
    maps = np.random.default_rng(1).random((1, 3, 4, 5), np.float32)
    assert OUTPUT.activate({PROBABILITIES: maps}, ("activation",))[PROBABILITIES] is maps


def test_picture_of_the_networks_size_keeps_every_pixel() -> None:
    classes = np.random.default_rng(2).integers(0, 3, (16, 16))
    np.testing.assert_array_equal(mask_of(maps_of(classes), sample((16, 16))), classes)


@pytest.mark.parametrize(
    ("size_wh", "edge"),
    [((40, 20), 20), ((20, 40), 10), ((7, 3), 3), ((200, 100), 100)],
    ids=["wide", "high", "tiny", "large"],
)
def test_letterbox_is_cut_away(size_wh: tuple[int, int], edge: int) -> None:
    # The padding is certain to be shoes: not a pixel of it may arrive.
    placed = sample(size_wh, resize="letterbox")
    geometry = placed.geometry
    left, top = int(geometry["offset_x"]), int(geometry["offset_y"])
    width, height = round(size_wh[0] * geometry["scale_x"]), round(size_wh[1] * geometry["scale_y"])
    classes = np.full((16, 16), 2)
    classes[top : top + height, left : left + width] = 0
    classes[top : top + height, left + width // 2 : left + width] = 1
    mask = mask_of(maps_of(classes), placed)
    assert mask.shape == size_wh[::-1]
    assert set(np.unique(mask)) == {0, 1}
    # The edge between the halves lies where it lay, to the pixel that a cell of the map covers.
    cell = size_wh[0] / width
    assert np.abs((mask == 0).sum(axis=1) - edge).max() <= max(1.0, cell)


def test_what_was_cropped_has_no_class() -> None:
    placed = sample((40, 20), resize="shortest", shortest_px=16)
    mask = mask_of(maps_of(np.ones((16, 16), int)), placed)
    # 16 of 20 rows' scale: the network saw the middle 20 of 40 columns.
    assert (mask[:, 10:30] == 1).all()
    assert (mask[:, :10] == UNSEEN).all() and (mask[:, 30:] == UNSEEN).all()


def test_coarser_map_covers_the_same_picture() -> None:
    classes = np.zeros((4, 4), int)
    classes[:, 2:] = 1
    mask = mask_of(maps_of(classes), sample((64, 32)))
    np.testing.assert_array_equal(mask[:, :32], 0)
    np.testing.assert_array_equal(mask[:, 32:], 1)


def test_classes_between_two_winners_need_no_place() -> None:
    # Every class resized, the largest taken: what leaving out the losers must not change.
    generator = np.random.default_rng(3)
    coarse = Image.fromarray(generator.integers(0, 3, (4, 4), dtype=np.uint8)).resize((16, 16), 0)
    maps = maps_of(np.asarray(coarse), 5) * 0.9 + generator.random((5, 16, 16), np.float32) * 0.05
    placed = sample((50, 30), resize="stretch")
    all_maps = [Image.fromarray(one).resize((50, 30), Image.Resampling.BILINEAR) for one in maps]
    np.testing.assert_array_equal(mask_of(maps, placed), np.argmax([np.asarray(m) for m in all_maps], axis=0))


def test_tie_goes_to_the_lower_class() -> None:
    assert (mask_of(np.full((3, 16, 16), 0.5, np.float32), sample((16, 16))) == 0).all()


def test_read_gives_a_result_per_sample_in_order() -> None:
    maps = np.stack([maps_of(np.full((16, 16), label)) for label in (2, 1)])
    first, second = OUTPUT.read({PROBABILITIES: maps}, [sample((9, 5)), sample((4, 6))])
    assert (first.size_wh, first.shares[0].label) == ((9, 5), "shoe")
    assert (second.size_wh, second.shares[0].label) == ((4, 6), "shirt")


def test_nan_is_refused() -> None:
    maps = np.zeros((1, 3, 16, 16), np.float32)
    maps[0, 1, 2, 3] = np.nan
    with pytest.raises(EngineError, match="Output 'probabilities': got NaN"):
        OUTPUT.read({PROBABILITIES: maps}, [sample((9, 5))])


@pytest.mark.parametrize(
    ("labels", "activation", "named"),
    [
        (("one",), "softmax", "spec.output.labels"),
        (("a", "a"), "softmax", "spec.output.labels"),
        (tuple(map(str, range(256))), "softmax", "spec.output.labels"),
        (LABELS, "sigmoid", "spec.output.activation"),
    ],
    ids=["one", "twice", "256", "activation"],
)
def test_spec_that_makes_no_sense_is_refused(labels: tuple[str, ...], activation: str, named: str) -> None:
    with pytest.raises(SpecError, match=named):
        SegmentationOutput(labels, activation)


def test_kind_comes_back_from_json() -> None:
    assert OutputKind.from_json(OUTPUT.to_json(), "spec.output") == OUTPUT


@pytest.fixture
def result() -> Segmentation:
    mask = np.zeros((6, 10), np.uint8)
    mask[:, 4:] = 2
    mask[0] = UNSEEN
    return Segmentation.of(mask, LABELS, Image.new("RGB", (10, 6), (200, 200, 200)))


def test_shares_are_of_what_was_seen(result: Segmentation) -> None:
    assert [(s.label, s.index, s.share) for s in result.shares] == [("shoe", 2, 0.6), ("nothing", 0, 0.4)]
    assert result.summary() == "shoe 60.0%, nothing 40.0%"


def test_where_a_class_is(result: Segmentation) -> None:
    np.testing.assert_array_equal(result.of_class("shoe"), result.mask == 2)
    with pytest.raises(KeyError, match="no class 'hat'"):
        result.of_class("hat")


def test_json_holds_the_whole_mask(result: Segmentation) -> None:
    told = result.to_dict()
    picture = Image.open(io.BytesIO(b64decode(told["mask_png"])))
    np.testing.assert_array_equal(np.asarray(picture), result.mask)
    assert told["size_wh"] == [10, 6]
    assert told["shares"][0] == {"label": "shoe", "index": 2, "share": 0.6}


def test_overlay_colours_all_but_the_background() -> None:
    grey = np.full((9, 9, 3), 100, np.uint8)
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    mixed = overlay(grey, mask, 3)
    colour = np.asarray(palette(3)[3:6])
    np.testing.assert_array_equal(mixed[0, 0], grey[0, 0])
    np.testing.assert_array_equal(mixed[2, 2], colour)
    np.testing.assert_allclose(mixed[4, 4], (100 + colour) / 2, atol=1)


def test_every_class_has_a_colour_of_its_own() -> None:
    colours = np.asarray(palette(40)).reshape(256, 3)[:40]
    assert len(np.unique(colours, axis=0)) == 40


def test_plot_shows_picture_and_legend(result: Segmentation) -> None:
    picture = result.plot()
    assert picture.mode == "RGB"
    assert picture.width > picture.height
    shoe = tuple(palette(3)[6:9])
    assert shoe in {colour for _, colour in picture.getcolors(1 << 20) or []}

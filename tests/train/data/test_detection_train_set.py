"""Training pictures with boxes: what augmentation does to boxes, and what a batch looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from runtimes import Array, DataError
from tests.train.box_sets import SIDE_PX, Box, draw_picture, random_boxes
from train.batches import Failure
from train.data.box_augmentation import (
    BOX_AUGMENTATIONS,
    MULTI_SCALES,
    BoxAugmentation,
    Boxed,
    multi_scale_size,
)
from train.data.boxes import BoxTargets
from train.data.detection_train_set import DetectionTrainSet
from train.sampling import Draw, seeded
from train.yolo_spec import PAD_COLOUR, yolo_input

INPUT_PX = 96
EDGE_PX = 1.5
"""Resampling blurs an edge by a pixel."""
ALL = tuple(name for name in BOX_AUGMENTATIONS if name not in ("none", "colour-jitter"))


def _targets(boxes: Sequence[Box]) -> BoxTargets:
    edges = np.array([box[1:] for box in boxes], np.float32).reshape(-1, 4)
    return BoxTargets(edges, np.array([box[0] for box in boxes], np.int64), np.zeros(len(boxes), bool))


def _set(folder: Path, names: Sequence[str], count: int = 4, boxes_each: int = 1) -> DetectionTrainSet:
    paths, targets = [], []
    for at in range(count):
        boxes = random_boxes(at, boxes_each)
        paths.append(folder / f"{at}.png")
        draw_picture(paths[-1], boxes)
        targets.append(_targets(boxes))
    size_wh = (INPUT_PX, INPUT_PX)
    augmentation = BoxAugmentation(names, size_wh, PAD_COLOUR)
    return DetectionTrainSet(
        paths, targets, yolo_input(size_wh), augmentation, multi_scale="multi-scale" in names
    )


def _edges_of_colour(pixels: Array, label: int) -> list[float]:
    """Box around everything of a class's colour."""
    strong, weak = (pixels[..., 0], pixels[..., 1]) if label == 0 else (pixels[..., 1], pixels[..., 0])
    rows, columns = np.nonzero((strong > 145) & (weak < 100))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("name", ALL)
def test_boxes_stay_on_what_they_hold(tmp_path: Path, name: str) -> None:
    """Found again by colour in the changed picture; mosaics only where one object of a class is left."""
    train_set = _set(tmp_path, [name])
    checked = 0
    for seed in range(12):
        boxed = train_set[Draw(seed % 4, seed)].boxed
        assert boxed.pixels.shape == (INPUT_PX, INPUT_PX, 3)
        for label in (0, 1):
            mine = boxed.boxes_xyxy[boxed.classes == label]
            # In a mosaic a sliver of another object may be left without its box.
            if len(mine) == 1 and name != "mosaic":
                assert mine[0] == pytest.approx(_edges_of_colour(boxed.pixels, label), abs=EDGE_PX)
                checked += 1
        inside = (boxed.boxes_xyxy >= 0).all() and (boxed.boxes_xyxy <= INPUT_PX).all()
        assert inside
    assert checked >= 6 or name == "mosaic"


def test_a_mosaic_is_made_of_four_pictures_at_their_places() -> None:
    """Four pictures of one colour each: every box of a quarter lies on its colour."""
    parts = []
    for colour in (40, 90, 140, 190):
        pixels = np.full((64, 64, 3), colour, np.uint8)
        parts.append(Boxed(pixels, np.float32([[16, 16, 48, 48]]), np.array([colour])))
    augmentation = BoxAugmentation(["mosaic"], (64, 64), PAD_COLOUR)
    seen = set()
    for seed in range(20):
        with seeded(seed):
            boxed = augmentation.apply(parts)
        for box, colour in zip(boxed.boxes_xyxy, boxed.classes, strict=True):
            left, top, right, bottom = box.round().astype(int)
            assert (boxed.pixels[top:bottom, left:right] == colour).all()
            seen.add(int(colour))
    assert seen == {40, 90, 140, 190}


def test_quarter_turns_take_boxes_along() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[10:20, 5:30] = 255
    augmentation = BoxAugmentation(["turn"], (64, 64), PAD_COLOUR)
    corners = set()
    for seed in range(20):
        with seeded(seed):
            boxed = augmentation.apply([Boxed(pixels, np.float32([[5, 10, 30, 20]]), np.array([0]))])
        left, top, right, bottom = boxed.boxes_xyxy[0].round().astype(int)
        assert (boxed.pixels[top:bottom, left:right] == 255).all()
        assert int((boxed.pixels[..., 0] == 255).sum()) == (right - left) * (bottom - top) == 250
        corners.add((left, top))
    assert len(corners) == 4


def test_a_draw_depends_on_its_seed_alone(tmp_path: Path) -> None:
    train_set = _set(tmp_path, BOX_AUGMENTATIONS[1:])
    first, again, other = (train_set[Draw(1, seed)].boxed for seed in (5, 5, 6))
    assert (first.pixels == again.pixels).all()
    assert (first.boxes_xyxy == again.boxes_xyxy).all()
    assert (first.pixels != other.pixels).any()


def test_slivers_at_the_border_lose_their_box() -> None:
    augmentation = BoxAugmentation(["scale"], (64, 64), PAD_COLOUR)
    picture = Boxed(
        np.zeros((64, 64, 3), np.uint8), np.float32([[0, 0, 64, 4], [20, 20, 44, 44]]), np.arange(2)
    )
    kept = []
    for seed in range(30):
        with seeded(seed):
            kept.append(augmentation.apply([picture]).classes.tolist())
    assert [0, 1] in kept
    assert [1] in kept


def test_without_augmentation_a_picture_is_what_the_spec_makes_of_it(tmp_path: Path) -> None:
    boxes = random_boxes(0)
    draw_picture(tmp_path / "a.png", boxes)
    image_input = yolo_input((INPUT_PX, INPUT_PX))
    augmentation = BoxAugmentation(["none"], image_input.size_wh, PAD_COLOUR)
    train_set = DetectionTrainSet(
        [tmp_path / "a.png"], [_targets(boxes)], image_input, augmentation, multi_scale=False
    )
    images, targets = train_set.collate([train_set[Draw(0, 0)]])
    expected = image_input.batch([image_input.load(tmp_path / "a.png")], ())["image"]
    assert (images.numpy() == expected).all()
    (found, classes) = targets[0]
    assert found.numpy() == pytest.approx(np.array([b[1:] for b in boxes]) * INPUT_PX / SIDE_PX, abs=1e-3)
    assert classes.tolist() == [box[0] for box in boxes]


def test_a_batch_holds_pictures_and_boxes_of_any_number(tmp_path: Path) -> None:
    train_set = _set(tmp_path, ["none"], boxes_each=2)
    batch = train_set.collate([train_set[Draw(at, at)] for at in range(3)])
    assert not isinstance(batch, Failure)
    images, targets = batch
    assert images.shape == (3, 3, INPUT_PX, INPUT_PX)
    assert images.dtype == torch.float32
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert [boxes.shape for boxes, _ in targets] == [(2, 4)] * 3


def test_multi_scale_gives_batches_other_sizes_with_their_boxes(tmp_path: Path) -> None:
    train_set = _set(tmp_path, ["multi-scale"])
    sides = set()
    for seed in range(12):
        batch = train_set.collate([train_set[Draw(0, seed)], train_set[Draw(1, seed + 100)]])
        assert not isinstance(batch, Failure)
        images, targets = batch
        side = images.shape[-1]
        sides.add(side)
        plain = train_set[Draw(0, seed)].boxed.boxes_xyxy
        assert targets[0][0].numpy() == pytest.approx(plain * side / INPUT_PX, abs=1e-3)
    assert sides == {64, 96, 128}


@pytest.mark.parametrize("size_wh", [(416, 416), (640, 352)], ids=str)
def test_multi_scale_sizes_are_multiples_of_the_stride(size_wh: tuple[int, int]) -> None:
    sizes = {multi_scale_size(size_wh, seed) for seed in range(60)}
    assert len(sizes) > 3
    assert all(side % 32 == 0 for size in sizes for side in size)
    low, high = MULTI_SCALES
    assert all(low - 0.05 <= width / size_wh[0] <= high + 0.05 for width, _ in sizes)


def test_boxes_are_measured_at_the_size_of_the_network(tmp_path: Path) -> None:
    train_set = _set(tmp_path, ["none"])
    expected = np.concatenate([_targets(random_boxes(at, 1)).boxes_xyxy for at in range(4)])
    sizes = (expected[:, 2:] - expected[:, :2]) * INPUT_PX / SIDE_PX
    assert train_set.sizes_wh() == pytest.approx(sizes, abs=1e-3)


def test_crowds_are_not_learned(tmp_path: Path) -> None:
    boxes = random_boxes(0)
    draw_picture(tmp_path / "a.png", boxes)
    targets = _targets(boxes)
    crowd = BoxTargets(targets.boxes_xyxy, targets.classes, np.array([True, False]))
    augmentation = BoxAugmentation(["none"], (INPUT_PX, INPUT_PX), PAD_COLOUR)
    image_input = yolo_input((INPUT_PX, INPUT_PX))
    train_set = DetectionTrainSet([tmp_path / "a.png"], [crowd], image_input, augmentation, multi_scale=False)
    assert len(train_set[Draw(0, 0)].boxed.classes) == 1


def test_a_picture_that_broke_is_named(tmp_path: Path) -> None:
    draw_picture(tmp_path / "a.png", [])
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"Picture .*/a.png"):
        DetectionTrainSet(
            [tmp_path / "a.png"],
            [_targets([])],
            yolo_input((INPUT_PX, INPUT_PX)),
            BoxAugmentation(["none"], (INPUT_PX, INPUT_PX), PAD_COLOUR),
            multi_scale=False,
        )

"""Detections: as JSON, on one line, and as a picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sdk.results import Detection, Detections


def detections(size_wh: tuple[int, int] = (640, 480), mode: str = "RGB", **changes: object) -> Detections:
    fields: dict[str, object] = {
        "boxes_xyxy": np.array([[64, 48, 320, 240], [320, 240, 600, 470], [300, 230, 610, 460]], np.float32),
        "scores": np.array([0.9, 0.8, 0.5], np.float32),
        "class_ids": np.array([0, 1, 0]),
        "labels": ("cat", "dog", "cat"),
        "source": Image.new(mode, size_wh, 200 if mode == "L" else (200, 200, 200)),
        "size_wh": (640, 480),
    }
    return Detections(**{**fields, **changes})  # type: ignore[arg-type]


def nothing() -> Detections:
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    return Detections(*empty, (), Image.new("RGB", (50, 40)))


def test_iterating_gives_each_detection_and_len_counts_them() -> None:
    found = list(detections())
    assert found[0] == Detection("cat", pytest.approx(0.9), (64.0, 48.0, 320.0, 240.0), 0)
    assert len(found) == len(detections()) == 3
    assert list(nothing()) == []


def test_to_dict_is_json() -> None:
    tree = json.loads(json.dumps(detections().to_dict()))
    assert tree["detections"][1] == {
        "label": "dog",
        "score": pytest.approx(0.8),
        "box_xyxy": [320, 240, 600, 470],
        "class_id": 1,
    }
    assert nothing().to_dict() == {"detections": []}


def test_summary_counts_kinds() -> None:
    assert detections().summary() == "2 × cat (best 90.0%), dog 80.0%"
    assert nothing().summary() == "nothing found"
    many = detections(labels=tuple("abcdefg"), scores=np.full(7, 0.5, np.float32))
    assert many.summary().endswith("e 50.0% and 2 more")


def test_equality_is_of_boxes_scores_and_labels_not_of_pictures() -> None:
    assert detections() == detections(source=None)
    assert detections() != detections(scores=np.array([0.9, 0.8, 0.4], np.float32))
    assert detections() != detections(labels=("cat", "dog", "dog"))
    assert detections() != "cat"


@pytest.mark.parametrize("size_wh", [(640, 480), (320, 240), (4000, 3000), (32, 24)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_plot_draws_boxes_in_the_colour_of_their_class_where_they_are(
    size_wh: tuple[int, int], mode: str
) -> None:
    """The source may be a smaller version of the picture that boxes speak of."""
    picture = detections(size_wh, mode).plot()
    assert picture.mode == "RGB"
    assert 480 <= max(picture.size) <= 1600
    pixels = np.asarray(picture)
    blue, red = ((pixels == colour).all(axis=2) for colour in ((37, 99, 235), (220, 38, 38)))
    ratio = picture.width / 640
    column = blue[round(150 * ratio)]
    assert column[round(64 * ratio) : round(66 * ratio)].all(), "the left edge of the best box"
    assert not column[round(100 * ratio) : round(280 * ratio)].any(), "nothing inside it"
    assert red.sum() > 500
    white = (pixels > 225).all(axis=2)
    assert white.sum() > 50, "the words"


def test_plot_of_nothing_is_the_picture() -> None:
    assert nothing().plot().getcolors() == [(480 * 384, (0, 0, 0))]


def test_plot_leaves_the_source_alone() -> None:
    result = detections()
    result.plot()
    assert result.source.getcolors() == [(640 * 480, (200, 200, 200))]

"""The Predictor beside code written by hand: equal answers, and the promised ratios when asked to time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demos import lean_predictor
from demos.lean.by_hand import ByHand
from demos.lean.models import PICTURE_WH, make_picture
from sdk import Predictor
from tests.tiny_photo_artifact import write_tiny_photo_artifact

LARGE_WH = (2560, 1440)
"""Large enough that a reduced JPEG is decoded at half the size."""
TAKES = 3
"""Other work may fall on one side of a ratio: only what is past its limit every time is a finding."""


@pytest.fixture
def photo(shared_data: Path) -> Path:
    return sorted((shared_data / "photos").iterdir())[0]


@pytest.mark.parametrize("size_wh", [PICTURE_WH, LARGE_WH], ids=["1280x720", "2560x1440"])
@pytest.mark.parametrize("jpeg_scaling", ["full", "reduced"])
def test_code_by_hand_gives_the_very_scores(
    tmp_path: Path, photo: Path, jpeg_scaling: str, size_wh: tuple[int, int]
) -> None:
    path = write_tiny_photo_artifact(tmp_path / "tiny.onnx", jpeg_scaling)
    jpeg = make_picture(photo, tmp_path / "photo.jpg", size_wh)
    pixels = np.asarray(Image.open(jpeg))
    with Predictor(path) as predictor:
        by_hand = ByHand(path, predictor.spec, size_wh)
        np.testing.assert_array_equal(predictor.predict(jpeg).scores, by_hand.jpeg(jpeg))
        np.testing.assert_array_equal(predictor.predict(pixels).scores, by_hand.array(pixels))


def test_cold_start_scripts_agree(tmp_path: Path, photo: Path) -> None:
    path = write_tiny_photo_artifact(tmp_path / "tiny.onnx")
    jpeg = make_picture(photo, tmp_path / "photo.jpg")
    row = lean_predictor.cold_row(path, jpeg, 1, tmp_path / "bytecode")  # raises when their answers differ
    assert row["launches"] == 1
    assert row["ours"] > 0 < row["peak_mb"]


def test_many_threads_get_their_own_answers_and_keep_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    pictures = [generator.integers(0, 256, (240 + at, 300, 3), dtype=np.uint8) for at in range(12)]
    with Predictor(write_tiny_photo_artifact(tmp_path / "tiny.onnx")) as predictor:
        alone = [predictor.predict(picture) for picture in pictures]
        kept = [result.scores.copy() for result in alone]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda at: predictor.predict(pictures[at % 12]), range(120)))
    assert len({scores.tobytes() for scores in kept}) == len(pictures), "the pictures are told apart"
    for at, result in enumerate(found):
        np.testing.assert_array_equal(result.scores, kept[at % 12])
    for result, scores in zip(alone, kept, strict=True):
        np.testing.assert_array_equal(result.scores, scores)


@pytest.mark.slow
def test_predictor_is_as_lean_as_promised(tmp_path: Path, photo: Path) -> None:
    args = lean_predictor._parser().parse_args(["--rounds", "12", "--launches", "15"])
    failures: dict[str, list[float]] = {}
    for take in range(TAKES):
        scratch = tmp_path / str(take)
        scratch.mkdir()
        past = lean_predictor.past_limits(lean_predictor.measure(scratch, photo, args))
        known = failures if take else {name: [] for name in past}
        failures = {name: [*known[name], figure] for name, figure in past.items() if name in known}
        if not failures:
            break
    assert not failures


def test_past_limits_names_what_is_past_and_leaves_large_networks_out() -> None:
    predict = [{"network": "a", "input": "jpeg", "ratio": ratio} for ratio in (1.049, 1.06)]
    start = {"network": "b", "ratio": 1.2, "peak_mb": 130.0, "minimal_peak_mb": 90.0}
    large = {**start, "network": "c", "minimal_peak_mb": 200.0}
    found = lean_predictor.past_limits({"predict": predict, "cold_start": [start, large]})
    assert found == {"predict a jpeg": 1.06, "cold start b": 1.2, "peak memory b": 130.0}

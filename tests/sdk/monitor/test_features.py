"""What each kind tells of its inputs and answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from runtimes import Dim, TensorInfo
from sdk.inputs.arrays import ArraysInput
from sdk.inputs.noise import NoiseInput
from sdk.kinds import INPUT_KINDS, OUTPUT_KINDS, InputKind, OutputKind
from sdk.monitor.features import array_features, picture_features, score_features, text_features
from sdk.outputs.arrays import ArraysOutput
from sdk.outputs.boxes import FinalBoxesOutput
from sdk.outputs.classification import ClassificationOutput
from sdk.outputs.decoded_text import DecodedTextOutput
from sdk.outputs.embedding import DIRECTIONS, EmbeddingOutput
from sdk.outputs.forecast import ForecastOutput
from sdk.outputs.generated_text import GeneratedTextOutput
from sdk.outputs.picture import PictureOutput
from sdk.outputs.segmentation import SegmentationOutput
from sdk.results import Classification, Detections, Embedding, Forecast, GeneratedImage, Segmentation
from sdk.results.arrays import Arrays
from sdk.results.generated_text import END, GeneratedText
from tests.hourly_series import hourly_table, series_input
from tests.sdk.conftest import image_input
from tests.texts import text_input

STEP = 1e-6
GREY = np.full((20, 40, 3), 51, np.uint8)
TEXT = GeneratedText("a b", "secret prompt", 3, -0.5, END, source="secret prompt")
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "classification": (
        ClassificationOutput(("a", "b", "c"), "softmax", 2, 1.0),
        Classification.ranked_later(("a", "b", "c"), 2, np.array([0.1, 0.7, 0.2], np.float32), None),
        {"label": "b", "score": 0.7, "margin": 0.5},
    ),
    "boxes": (
        FinalBoxesOutput(("cat", "dog"), 0.25, 0.01),
        Detections(
            np.array([[0, 0, 10, 10], [0, 0, 20, 10]], np.float32),
            np.array([0.9, 0.5], np.float32),
            np.array([1, 0]),
            ("dog", "cat"),
            None,
            (100, 10),
        ),
        {"boxes": 2, "label": "dog", "score": 0.9, "mean_score": 0.7, "area": 0.15},
    ),
    "no boxes": (
        FinalBoxesOutput(("cat", "dog"), 0.25, 0.01),
        Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, int), (), None, (9, 9)),
        {"boxes": 0, "label": "", "score": 0, "mean_score": 0, "area": 0},
    ),
    "segmentation": (
        SegmentationOutput(("sky", "sea", "land"), "softmax"),
        Segmentation.of(np.array([[0, 0], [0, 1]], np.uint8), ("sky", "sea", "land"), None),
        {"label": "sky", "classes": 2, "share.sky": 0.75, "share.sea": 0.25, "share.land": 0},
    ),
    "forecast": (
        ForecastOutput("load", "kWh", (0.1, 0.5, 0.9), (1.0, 1.0, 1.0), (), 0),
        Forecast(
            "load", "kWh", np.arange(2).astype("datetime64[s]"), (0.1, 0.5, 0.9),
            np.array([[1, 2, 5], [3, 4, 5]], np.float32), None, None, None,
        ),
        {"mean": 3, "spread": 1, "first": 2, "width": 3},
    ),
    "picture": (
        PictureOutput("rgb"),
        GeneratedImage(GREY, None),
        {"brightness": 0.2, "contrast": 0, "sharpness": 0, "saturation": 0, "clipped": 0},
    ),
    "arrays": (
        ArraysOutput(("y",), batched=True),
        Arrays({"y": np.array([1.0, 3.0, np.nan, np.inf])}, None),
        {"y.mean": 2, "y.low": 1, "y.high": 3, "y.spread": 1},
    ),
    "generated": (
        GeneratedTextOutput(20, 16, (0,), (1,), 5), TEXT,
        {"tokens": 3, "characters": 3, "score": -0.5, "finish_reason": "end"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "result", "expected"), CASES.values(), ids=CASES)
def test_features_of_answers(kind: OutputKind, result: Any, expected: dict[str, Any]) -> None:
    found = kind.features(result)
    assert {name: found[name] for name in expected} == {
        name: value if isinstance(value, str) else pytest.approx(value, abs=STEP)
        for name, value in expected.items()
    }
    assert all(isinstance(value, str) or math.isfinite(value) for value in found.values())
    assert "secret" not in str(found), "nothing that a stranger wrote"


def test_every_kind_tells_something() -> None:
    """A new kind has to say what is watched, or to be named here."""
    from importlib import import_module

    silent = {"noise"}
    for table, base in ((INPUT_KINDS, InputKind), (OUTPUT_KINDS, OutputKind)):
        for name, place in table.items():
            module, _, attribute = place.partition(":")
            kind = getattr(import_module(module), attribute)
            assert (kind.features is not base.features) == (name not in silent), name
    assert NoiseInput(5).features(NoiseInput(5).load(7)) == {}
    assert DecodedTextOutput.features is not OutputKind.features


def test_embedding_is_watched_along_fixed_directions() -> None:
    kind, draw = EmbeddingOutput(64), np.random.default_rng(0)
    vectors = draw.normal(size=(2, 64)).astype(np.float32)
    one, other = (kind.features(Embedding(v / np.linalg.norm(v), None)) for v in vectors)
    assert list(one) == list(other) == [f"direction{at}" for at in range(DIRECTIONS)]
    assert one != other
    opposite = kind.features(Embedding(-vectors[0] / np.linalg.norm(vectors[0]), None))
    assert list(opposite.values()) == pytest.approx([-float(value) for value in one.values()])


def test_features_of_a_picture_are_of_what_the_network_gets() -> None:
    kind = image_input(size_wh=(10, 10))
    found = kind.features(kind.load(GREY))
    assert found == pytest.approx(
        {
            "brightness": 0.2, "contrast": 0, "sharpness": 0, "clipped": 0, "saturation": 0,
            "aspect": 2.0, "megapixels": 800e-6,
        },
        abs=STEP,
    )  # fmt: skip


def test_sharpness_falls_when_a_picture_is_blurred() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    blurred = ((noise.astype(int) + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) // 3).astype(np.uint8)
    sharp, soft = picture_features(noise), picture_features(blurred)
    assert soft["sharpness"] < 0.6 * sharp["sharpness"]
    assert soft["brightness"] == pytest.approx(sharp["brightness"], abs=0.01)
    assert "saturation" not in sharp


def test_large_pictures_cost_no_more_than_small_ones() -> None:
    half = np.zeros((3000, 4000, 3), np.uint8)
    half[:, 2000:] = 255
    found = picture_features(half)
    assert found["brightness"] == pytest.approx(0.5, abs=0.01)
    assert found["clipped"] == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 5)])
def test_tiny_pictures_have_features(size: tuple[int, int]) -> None:
    assert all(math.isfinite(value) for value in picture_features(np.ones((*size, 3), np.uint8)).values())


def test_scores_that_are_no_shares_have_no_entropy() -> None:
    assert score_features(np.array([0.5, 0.5]))["entropy"] == pytest.approx(1)
    assert score_features(np.array([0.0, 1.0]))["entropy"] == 0
    assert "entropy" not in score_features(np.array([-3.0, 1.0]))


def test_features_of_a_text() -> None:
    found = text_features("ABC déf 12!")
    assert found == pytest.approx(
        {
            "characters": 11, "words": 3, "word_length": 3, "capitals": 3 / 11, "digits": 2 / 11,
            "punctuation": 1 / 11, "non_ascii": 1 / 11,
        }
    )  # fmt: skip
    kind = text_input()
    known, strange = (kind.features(kind.load(text)) for text in ("good product", "gxxd prxdxct"))
    assert known["tokens"] >= 2
    assert strange["unknown"] > known["unknown"]
    assert known.keys() == strange.keys()


def test_features_of_a_series() -> None:
    kind = series_input()
    sample = kind.load(hourly_table(60))
    found = kind.features(sample)
    past = sample.arrays["past"][:, 0]
    assert found["load.mean"] == pytest.approx(float(past.mean()), rel=1e-5)
    assert found["load.step"] == pytest.approx(float(past[-1] - past[-2]), rel=1e-5)


def test_features_of_arrays() -> None:
    kind = ArraysInput((TensorInfo("x", "float32", (Dim(),)),), batched=True)
    assert kind.features(kind.load(np.array([2.0], np.float32))) == {"x.mean": 2, "x.low": 2, "x.high": 2}
    assert (
        array_features({"nothing": np.array([]), "none": np.array([np.nan]), "word": np.array(["a"])}) == {}
    )

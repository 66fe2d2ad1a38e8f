"""Classification: activation, ranking, results as JSON and pictures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from runtimes import EngineError
from sdk.kinds import Sample
from sdk.outputs.classification import ClassificationOutput
from sdk.results import Classification

LOGITS = np.array([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]], np.float32)


def output(activation: str = "softmax", top_k: int = 2) -> ClassificationOutput:
    return ClassificationOutput(("shirt", "shoe", "bag"), activation, top_k, 1.0)


def samples(count: int) -> list[Sample]:
    return [Sample({}, Image.new("L", (28, 28), 40 * i), {}) for i in range(count)]


def test_activate_softmax_by_hand() -> None:
    scores = output().activate({"scores": LOGITS}, ())["scores"]
    e = np.exp([1.0, 3.0, 2.0])
    np.testing.assert_allclose(scores[0], e / e.sum(), rtol=1e-6)
    np.testing.assert_allclose(scores[1], [1 / 3] * 3, rtol=1e-6)


def test_activate_softmax_of_huge_logits_is_finite() -> None:
    scores = output().activate({"scores": np.array([[1e4, -1e4, 0]], np.float32)}, ())["scores"]
    np.testing.assert_array_equal(scores, [[1, 0, 0]])


def test_activate_sigmoid_by_hand_and_for_huge_logits() -> None:
    logits = np.array([[0.0, 2.0, -1e4]], np.float32)
    scores = output("sigmoid").activate({"scores": logits}, ())["scores"]
    np.testing.assert_allclose(scores[0], [0.5, 1 / (1 + np.exp(-2)), 0.0], atol=1e-6)


@pytest.mark.parametrize(("activation", "baked"), [("softmax", ("activation",)), ("none", ())])
def test_activate_leaves_final_scores_alone(activation: str, baked: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(output(activation).activate({"scores": LOGITS}, baked)["scores"], LOGITS)


def test_read_ranks_labels() -> None:
    first, second = output().read({"scores": LOGITS}, samples(2))
    assert (first.label, first.index, first.score) == ("shoe", 1, 3.0)
    assert [t.label for t in first.top] == ["shoe", "bag"]
    assert [t.label for t in second.top] == ["shirt", "shoe"], "equal scores rank by class order"


def test_read_top_k_larger_than_the_classes() -> None:
    (result,) = output(top_k=9).read({"scores": LOGITS[:1]}, samples(1))
    assert len(result.top) == 3


def test_read_nan_is_an_error_not_a_label() -> None:
    with pytest.raises(EngineError, match="Output 'scores': got NaN"):
        output().read({"scores": np.array([[np.nan, 1, 2]], np.float32)}, samples(1))


def test_result_summary_is_one_line_of_the_best_labels() -> None:
    scores = np.array([[0.2, 0.7, 0.1]], np.float32)
    (result,) = output(top_k=3).read({"scores": scores}, samples(1))
    assert result.summary() == "shoe 70.0%, shirt 20.0%, bag 10.0%"


def test_result_to_dict_is_json() -> None:
    (result,) = output().read({"scores": LOGITS[:1]}, samples(1))
    assert json.loads(json.dumps(result.to_dict())) == {
        "label": "shoe",
        "score": 3.0,
        "index": 1,
        "top": [{"label": "shoe", "score": 3.0, "index": 1}, {"label": "bag", "score": 2.0, "index": 2}],
    }


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (900, 40), (1280, 720)])
def test_result_plot_shows_picture_and_bars(size: tuple[int, int]) -> None:
    scores = np.array([[0.1, 0.7, 0.2]], np.float32)
    (result,) = output().read({"scores": scores}, [Sample({}, Image.new("RGB", size, (200, 0, 0)), {})])
    picture = result.plot()
    pixels = np.asarray(picture).astype(int)
    assert picture.mode == "RGB"
    assert ((pixels == (200, 0, 0)).all(axis=2)).any(), "the picture itself"
    assert ((pixels == (37, 99, 235)).all(axis=2)).sum() > 500, "the bar of the best label"


def test_result_is_frozen_and_hides_bulk_in_repr() -> None:
    (result,) = output().read({"scores": LOGITS[:1]}, samples(1))
    assert isinstance(result, Classification)
    assert "scores=" not in repr(result).replace("RankedLabel", "")
    with pytest.raises(AttributeError):
        result.label = "x"


def test_activate_divides_scores_by_the_temperature() -> None:
    logits = {"scores": np.log(np.array([[0.64, 0.16, 0.04]], np.float32))}
    warm = replace(output("softmax", 3), temperature=2.0)
    np.testing.assert_allclose(
        warm.activate(logits, ())["scores"], [[0.8 / 1.4, 0.4 / 1.4, 0.2 / 1.4]], rtol=1e-6
    )
    np.testing.assert_array_equal(warm.activate(logits, ("activation",))["scores"], logits["scores"])

"""Classifications that rank their scores when asked: otherwise like those that were ranked at once."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest

from sdk.kinds import Sample
from sdk.outputs.classification import ClassificationOutput
from sdk.results import Classification, RankedLabel

LABELS = ("shirt", "shoe", "bag", "hat")
SCORES = np.array([0.25, 0.125, 0.5, 0.125], np.float32)
TOP = (RankedLabel("bag", 0.5, 2), RankedLabel("shirt", 0.25, 0), RankedLabel("shoe", 0.125, 1))
RANKED = Classification("bag", 0.5, 2, TOP, SCORES, "picture")


def later() -> Classification:
    output = ClassificationOutput(LABELS, "softmax", 3, 1.0)
    (result,) = output.read({"scores": SCORES[None].copy()}, [Sample({}, "picture", {})])
    return result  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "seen",
    [repr, hash, Classification.to_dict, Classification.summary, lambda r: asdict(r)["top"], lambda r: r],
    ids=["repr", "hash", "to_dict", "summary", "asdict", "equality"],
)
def test_ranked_later_is_seen_as_ranked_at_once(seen: Callable[[Classification], object]) -> None:
    assert seen(later()) == seen(RANKED)


@pytest.mark.parametrize("name", ["label", "score", "index", "top"])
def test_ranked_later_ranks_for_any_field_and_once(name: str) -> None:
    result = later()
    assert not {"label", "score", "index", "top"} & set(vars(result))
    assert getattr(result, name) == getattr(RANKED, name)
    assert result.top is result.top


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
@pytest.mark.parametrize("asked", [True, False])
def test_ranked_later_is_copied_and_pickled_ranked(
    again: Callable[[Classification], Classification], asked: bool
) -> None:
    result = later()
    if asked:
        assert result.label == "bag"
    copied = again(result)
    assert copied == RANKED
    assert (copied.source, set(vars(copied))) == ("picture", set(vars(RANKED)))
    np.testing.assert_array_equal(copied.scores, SCORES)


def test_ranked_later_is_frozen_its_scores_too() -> None:
    result = later()
    with pytest.raises(FrozenInstanceError):
        result.label = "hat"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.scores[0] = 1.0
    assert replace(result, source=None).source is None
    with pytest.raises(AttributeError, match="no attribute 'lable'"):
        _ = result.lable  # type: ignore[attr-defined]


def test_ranked_later_in_many_threads_is_one_answer() -> None:
    results = [later() for _ in range(50)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: results[at % 50].top, range(400)))
    assert set(found) == {TOP}


def test_ranked_later_breaks_ties_by_class_order_however_many_there_are() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        count = int(generator.integers(2, 40))
        scores = generator.integers(0, 5, count).astype(np.float32)
        labels, top_k = tuple(map(str, range(count))), int(generator.integers(1, count + 1))
        result = Classification.ranked_later(labels, top_k, scores, None)
        expected = sorted(range(count), key=lambda at: (-scores[at], at))[:top_k]
        assert [entry.index for entry in result.top] == expected

"""Which fold holds out each item."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes import DataError
from train.fold_division import blocked_folds, grouped_folds, neighbour_folds, plain_folds, stratified_folds

FOLDS = 5
LABELS = ("common", "rare")


def test_plain_folds_are_of_one_size_and_always_the_same() -> None:
    chosen = plain_folds(52, FOLDS)
    assert sorted(np.bincount(chosen)) == [10, 10, 10, 11, 11]
    assert (chosen == plain_folds(52, FOLDS)).all()
    assert not (chosen == np.sort(chosen)).all()  # in a random order


def test_stratified_folds_divide_every_class_alike() -> None:
    targets = np.array([0] * 91 + [1] * 12)
    chosen = stratified_folds(targets, FOLDS, LABELS)
    for label in (0, 1):
        counts = np.bincount(chosen[targets == label], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(chosen)
    assert sizes.max() - sizes.min() <= 1


def test_stratified_folds_refuse_a_class_that_is_too_small() -> None:
    with pytest.raises(DataError, match=r"^Class 'rare': got 3 items for 5 folds, .* Say --folds 3 or fewer"):
        stratified_folds(np.array([0] * 20 + [1] * 3), FOLDS, LABELS)


def test_grouped_folds_divide_no_group_and_every_class() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 40, 400)
    targets = (groups % 4 == 0).astype(np.int64)
    chosen = grouped_folds(targets, groups, FOLDS, LABELS)
    assert all(len(np.unique(chosen[groups == group])) == 1 for group in np.unique(groups))
    for label in (0, 1):
        shares = np.bincount(chosen[targets == label], minlength=FOLDS) / (targets == label).sum()
        assert shares.min() > 0.5 / FOLDS and shares.max() < 1.5 / FOLDS


def test_grouped_folds_refuse_a_class_of_too_few_patients() -> None:
    targets = np.array([0] * 10 + [1] * 10)
    groups = np.array([*range(10), *[20] * 10])
    with pytest.raises(DataError, match=r"^Class 'rare': got 1 patients for 5 folds"):
        grouped_folds(targets, groups, FOLDS, LABELS)


def test_neighbour_folds_hold_out_one_run_of_each_group() -> None:
    groups = np.repeat([0, 1], 10)
    chosen = neighbour_folds(np.zeros(20, int), groups, FOLDS)
    assert chosen.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] * 2


@pytest.mark.parametrize("divide", [plain_folds, blocked_folds], ids=["plain", "blocked"])
def test_folds_refuse_fewer_items_than_folds(divide: object) -> None:
    with pytest.raises(DataError, match=r"^Option --folds: got 5 for 4 items"):
        divide(4, FOLDS)  # type: ignore[operator]


def test_blocked_folds_keep_the_order() -> None:
    chosen = blocked_folds(13, FOLDS)
    assert (np.diff(chosen) >= 0).all() and set(chosen.tolist()) == set(range(FOLDS))

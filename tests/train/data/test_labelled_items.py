"""Holding out part of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes import DataError
from train.data.labelled_items import LabelledItems, stratified_hold_out


def test_stratified_hold_out_divides_each_class_alike() -> None:
    targets = np.repeat([0, 1, 2], [100, 50, 10])
    kept, held = stratified_hold_out(targets, 0.1, seed=1)
    assert np.bincount(targets[held]).tolist() == [10, 5, 1]
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(160))


def test_stratified_hold_out_is_the_same_each_time() -> None:
    targets = np.tile([0, 1], 30)
    assert np.array_equal(stratified_hold_out(targets, 0.2, 3)[1], stratified_hold_out(targets, 0.2, 3)[1])
    assert not np.array_equal(
        stratified_hold_out(targets, 0.2, 3)[1], stratified_hold_out(targets, 0.2, 4)[1]
    )


def test_stratified_hold_out_leaves_one_of_two() -> None:
    kept, held = stratified_hold_out(np.array([0, 0, 1, 1]), 0.9, seed=0)
    assert len(kept) == len(held) == 2


def test_stratified_hold_out_refuses_a_lone_sample() -> None:
    with pytest.raises(DataError, match="Class 1: got a single picture"):
        stratified_hold_out(np.array([0, 0, 1]), 0.1, seed=0)


def test_take_keeps_items_targets_and_fingerprints_together() -> None:
    images = LabelledItems(["a", "b", "c"], np.array([0, 1, 0]), ("x", "y"), lambda at: b"abc"[at : at + 1])
    some = images.take(np.array([2, 1]))
    assert (some.items, some.targets.tolist()) == (["c", "b"], [0, 1])
    assert [some.fingerprint(0), some.fingerprint(1)] == [b"c", b"b"]
    assert some.sha256() != images.sha256()

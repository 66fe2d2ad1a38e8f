"""Character edits and their share."""

from __future__ import annotations

import numpy as np
import pytest

from train.text_metrics import character_edits, share_of_sums


def test_edits_are_counted_per_text() -> None:
    written = ["same", "kitten", "", "abc", "flaw"]
    wanted = ["same", "sitting", "abc", "", "lawn"]
    assert character_edits(written, wanted).tolist() == [0, 3, 3, 3, 2]
    assert character_edits(["a"], ["a"]).tolist() == [0]


def test_share_lies_in_an_interval_that_narrows_with_more_items() -> None:
    few, many = (np.tile([0, 1, 0, 3], times) for times in (5, 500))
    share, low, high = share_of_sums(few, np.full(len(few), 10))
    assert share == pytest.approx(0.1)
    assert 0 < low < share < high < 0.3
    _, narrow_low, narrow_high = share_of_sums(many, np.full(len(many), 10))
    assert narrow_high - narrow_low < 0.3 * (high - low)


def test_no_errors_leave_no_doubt() -> None:
    assert share_of_sums(np.zeros(10, np.int64), np.full(10, 3)) == (0.0, 0.0, 0.0)

"""Spoken dates that were never seen are written right: the promise of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from demos.make_dates import make_set
from train.loop import train
from train.options import make_options

PROMISED_EXACT = 0.98
"""Twelve epochs reach 100 %; four are enough for this."""


@pytest.mark.slow
def test_dates_of_no_training_pair_are_written_right(tmp_path: Path) -> None:
    make_set(tmp_path / "dates", (20_000, 500, 1_000))
    options = make_options(
        "seq2seq",
        tmp_path / "dates",
        tmp_path / "run",
        epochs=4,
        source_units="word",
        lower_case=True,
        device="cpu",
    )
    result = train(options)
    assert result.metrics[0].value >= PROMISED_EXACT
    assert result.metrics[0].samples == 1_000

"""Real products: a generator gets better, and does not draw one picture again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdk import Predictor
from train.loop import train
from train.options import make_options

# With these settings 17 was seen after six epochs.
TIMES_BETTER = 5


@pytest.mark.slow
def test_generator_improves_on_its_first_epoch(shared_data: Path, tmp_path: Path) -> None:
    options = make_options(
        "gan", shared_data / "fashion-mnist", tmp_path / "run", classes=("Sneaker",), epochs=6, width=8, lr=1e-3,
        score_samples=600, threads=1, device="cpu",
    )  # fmt: skip
    result = train(options)
    scores = [entry["val_frechet"] for entry in result.history]
    assert scores[0] / min(scores) >= TIMES_BETTER
    with Predictor(result.checkpoint) as predictor:
        drawn = np.stack([each.pixels for each in predictor.generate(64, seed=5)]).astype(np.float64)
    # Real sneakers differ from their mean by 35 levels.
    assert drawn.std(axis=0).mean() > 15

"""Real products: a generator gets better, and does not draw one picture again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdk import Predictor
from train.loop import train
from train.options import make_options

# 4.2 was seen, on the features of fixed random convolutions; real halves are 13 times better than epoch 1.
TIMES_BETTER = 3


@pytest.mark.slow
def test_generator_improves_on_its_first_epoch(shared_data: Path, tmp_path: Path) -> None:
    small = {"epochs": 6, "width": 8, "lr": 1e-3, "score_samples": 600, "threads": 1, "device": "cpu"}
    data = shared_data / "fashion-mnist"
    options = make_options("gan", data, tmp_path / "run", classes=("Sneaker",), **small)
    result = train(options)
    scores = [entry["val_frechet"] for entry in result.history]
    assert scores[0] / min(scores) >= TIMES_BETTER
    with Predictor(result.checkpoint) as predictor:
        drawn = np.stack([each.pixels for each in predictor.generate(64, seed=5)]).astype(np.float64)
    # 28 was seen; real sneakers differ from their mean by 30 levels.
    assert drawn.std(axis=0).mean() > 20

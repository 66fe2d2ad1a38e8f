"""On real pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk import Predictor
from train.loop import train
from train.options import make_options
from train.tasks import get_task

SAMPLE_FLOOR = 0.86
"""What the quickstart promises on the bundled test pictures."""


@pytest.mark.slow
def test_bundled_sample_reaches_what_the_quickstart_promises(root: Path, tmp_path: Path) -> None:
    data = root / "demos" / "data" / "fashion_mnist_sample"
    result = train(make_options("product", data, tmp_path / "run", epochs=16))
    assert result.metrics[0].split == "test"
    assert result.metrics[0].value >= SAMPLE_FLOOR
    task = get_task("product")
    with Predictor(result.checkpoint) as predictor:
        split = task.load_split(data, "test", predictor.spec)
        assert task.measure(predictor.predict(list(split.items)), split) == result.metrics
        assert predictor.verify().holds

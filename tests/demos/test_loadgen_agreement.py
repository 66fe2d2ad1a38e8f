"""Our single-stream percentiles beside MLPerf LoadGen's, on a real artifact."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demos.loadgen_agreement import Agreement, main, measure_agreement
from sdk.bench.figures import Latency, Percentile

PICTURES = [np.full((28, 28), level, np.uint8) for level in (0, 120, 255)]
# LoadGen counts some ten microseconds of its own, and a light artifact takes no more than a hundred.
LIGHT_TOLERANCE = 0.5
AGREED = 0.03


def test_agreement_compares_percentile_by_percentile() -> None:
    ours, same = (Latency.of(np.full(100, seconds)) for seconds in (0.001, 0.003))
    found = Agreement(100, ours, same, (2.0, 3.0))

    assert found.ratios == pytest.approx((1 / 2, 1 / 3))
    assert found.ratios_of_the_same == pytest.approx((3 / 2, 1))


def test_both_count_the_same_predictions(light_artifact: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")
    found = measure_agreement(light_artifact, PICTURES, seconds=0.1)

    assert found.count >= 700
    assert all(abs(ratio - 1) < LIGHT_TOLERANCE for ratio in found.ratios)


def test_artifact_that_cannot_be_measured_is_one_line(
    light_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")

    assert main([str(light_artifact)]) == 2
    assert "no golden samples" in capsys.readouterr().err


@pytest.mark.slow
def test_real_model_agrees_within_three_percent(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")
    from demos.lean.models import make_artifact, make_picture

    picture = make_picture(shared_data / "photos" / "rocket.jpg", tmp_path / "rocket.jpg")
    artifact = make_artifact("mobilenet_v3_small", tmp_path / "mobilenet.onnx")
    with Image.open(picture) as image:
        found = measure_agreement(artifact, [np.asarray(image)], seconds=20)

    assert found.ratios_of_the_same == pytest.approx((1, 1), abs=AGREED)
    for ratio, percentile in zip(found.ratios, (found.ours.p50, found.ours.p90), strict=True):
        assert abs(ratio - 1) <= AGREED + _chance(percentile)


def _chance(percentile: Percentile) -> float:
    """How far two equally long samples may differ by chance: √2 half intervals of one, relative."""
    assert percentile.value_ms is not None
    assert percentile.low_ms is not None
    assert percentile.high_ms is not None
    return math.sqrt(2) * (percentile.high_ms - percentile.low_ms) / 2 / percentile.value_ms

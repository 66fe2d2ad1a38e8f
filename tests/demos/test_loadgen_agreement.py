"""Our single-stream percentiles beside MLPerf LoadGen's, on a real artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demos.loadgen_agreement import Agreement, main, measure_agreement

PICTURES = [np.full((28, 28), level, np.uint8) for level in (0, 120, 255)]
# LoadGen counts some ten microseconds of its own, and a light artifact takes no more than a hundred.
LIGHT_TOLERANCE = 0.5
AGREED = 0.03


def test_agreement_compares_percentile_by_percentile() -> None:
    assert Agreement(100, (1.0, 3.0), (2.0, 3.0)).ratios == (0.5, 1.0)


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
    found = measure_agreement(artifact, [picture], seconds=20)

    assert found.ratios == pytest.approx((1, 1), abs=AGREED)

"""Temperature scaling finds what was done to the scores, and says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from train.temperature import calibration_error, fit_temperature, log_loss, softmax


def _honest(samples: int = 4000, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the very chance with which each class was drawn."""
    generator = np.random.default_rng(3)
    logits = generator.normal(0, 2, (samples, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (chances.cumsum(axis=1) > generator.random((samples, 1))).argmax(axis=1)
    return logits, targets


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_temperature_undoes_sharpening(sharpened: float) -> None:
    logits, targets = _honest()
    found = fit_temperature(sharpened * logits[None], targets)
    assert found.temperature == pytest.approx(sharpened, rel=0.05) and not found.why
    assert found.log_loss_after <= found.log_loss_before
    assert found.error_after < 0.03
    if sharpened == 3.0:
        assert found.error_before > 3 * found.error_after


def test_views_are_averaged_as_the_device_does() -> None:
    logits, targets = _honest(500)
    both = np.stack([2 * logits, 2 * logits])
    assert (
        fit_temperature(both, targets).temperature == fit_temperature(2 * logits[None], targets).temperature
    )
    by_hand = (softmax(logits[None], 2.0) + softmax(-logits[None], 2.0)) / 2
    assert np.allclose(softmax(np.stack([logits, -logits]), 2.0), by_hand)


def test_no_wrong_answer_leaves_it_at_one() -> None:
    found = fit_temperature(np.array([[[4.0, 0.0], [0.0, 1.0]]]), np.array([0, 1]))
    assert found.temperature == 1.0 and found.why == "no wrong answer among the samples"
    assert found.to_json()["why"] == found.why and found.log_loss_after == found.log_loss_before


def test_worse_than_chance_leaves_it_at_one() -> None:
    found = fit_temperature(np.array([[[4.0, 0.0], [0.0, 1.0]]]), np.array([1, 0]))
    assert found.temperature == 1.0 and "no optimum" in found.why


def test_log_loss_and_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    targets = np.array([0, 1, 1, 1])
    assert log_loss(probabilities, targets) == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.6]).mean())
    # Half are sure to 0.9 and right half of the time, half to 0.6 and always right: (0.4 + 0.4) / 2.
    assert calibration_error(probabilities, targets) == pytest.approx(0.4, abs=1e-6)

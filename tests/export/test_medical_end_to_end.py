"""Real MR and CT slices: learned from some patients, judged on others, the same in every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.pipeline import export_artifacts
from export.recipe import Recipe
from runtimes import DataError
from sdk import Predictor
from train.loop import train
from train.options import make_options

pytest.importorskip("pydicom", reason="pydicom is not installed")

SLICES = 157
PROMISED_ACCURACY = 0.95
# 32-bit sums in another order move a probability by about 1e-6.
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def medical(shared_data: Path) -> Path:
    """MR of the head and CT of the chest, one patient of each to learn from and one to be judged on."""
    folder = shared_data / "medical"
    if not folder.is_dir():
        pytest.skip(f"no medical/ in {shared_data}")
    return folder


def test_one_patient_a_class_cannot_be_held_out(medical: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pictures of a single patient.*--hold-out neighbours"):
        train(make_options("medical", medical, tmp_path / "run", model="compact_cnn"))


@pytest.mark.slow
@pytest.mark.timeout(3600)  # two minutes where both cores are free, and ten times that where not
def test_unseen_patients_in_every_runtime(medical: Path, tmp_path: Path) -> None:
    options = make_options(
        "medical",
        medical,
        tmp_path / "run",
        model="compact_cnn",
        window="full",
        hold_out="neighbours",
        augment=("flip", "shift", "resized-crop", "colour-jitter"),
        threads=2,
        num_workers=0,
        device="cpu",
    )
    result = train(options)
    accuracy = result.metrics[0]
    assert (accuracy.name, accuracy.split, accuracy.samples) == ("accuracy", "test", 84)
    assert accuracy.value >= PROMISED_ACCURACY
    exported = export_artifacts(result.checkpoint, ["onnx", "pte"], recipe=Recipe(class_maps=True))
    slices = sorted(medical.rglob("*.dcm"))
    assert len(slices) == SLICES
    with Predictor(result.checkpoint) as checkpoint:
        expected = checkpoint.predict(slices)
        why = checkpoint.explain(slices[0])
    for done in exported:
        with Predictor(done.path) as deployed:
            for ours, theirs in zip(deployed.predict(slices), expected, strict=True):
                assert ours.label == theirs.label
                assert np.allclose(ours.scores, theirs.scores, atol=ROUNDING)
            assert np.allclose(deployed.explain(slices[0]).heatmap, why.heatmap, atol=1e-2)

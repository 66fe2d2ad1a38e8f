"""The reference that export puts into what it proves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export import job as job_module
from export.pipeline import export_artifacts
from export.reference import REFERENCE_ROWS, ReferenceRows
from runtimes import DeviceError
from sdk import Predictor, read_artifact
from sdk.artifact import NOT_RUN
from sdk.monitor.drift import Limits, measure_drift
from sdk.monitor.prediction_log import features_of
from sdk.monitor.reference import INPUT
from sdk.outputs.generated_text import GeneratedTextOutput
from tests.export.conftest import TEST_IMAGES, _read
from tests.sdk.conftest import image_input, make_spec


def test_exported_artifact_remembers_what_it_was_proved_on(checkpoint: Path, small_data: Path) -> None:
    (exported,) = export_artifacts(checkpoint, ["onnx"])
    reference = read_artifact(exported.path).manifest.reference
    assert reference is not None
    assert (reference.split, reference.rows) == ("test", TEST_IMAGES)
    pictures = _read(small_data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    with Predictor(exported.path) as predictor:
        arrays, samples = predictor.prepare(list(pictures))
        results = predictor.finish(predictor.compute(arrays), samples)
        rows = [features_of(predictor.spec, *pair) for pair in zip(samples, results, strict=True)]
        report = measure_drift(reference, rows, Limits(fewest=2))
    assert report.unknown == (), "the same features"
    assert max(feature.psi for feature in report.features) < 0.01, "the very predictions"
    assert sum(reference.words["output.label"].counts.values()) == TEST_IMAGES


def test_artifact_that_was_not_run_has_the_checkpoints_reference(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = job_module.measure

    def without_device(path: Path, *rest: object) -> object:
        if path.suffix == ".onnx":
            raise DeviceError("Device", got="none", expected="one", fix="Plug it in.")
        return measure(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(job_module, "measure", without_device)
    (exported,) = export_artifacts(checkpoint, ["onnx"])
    manifest = read_artifact(exported.path).manifest
    assert manifest.evidence.status == NOT_RUN
    assert manifest.reference is not None
    assert manifest.reference.rows == TEST_IMAGES


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (REFERENCE_ROWS, 32), (5 * REFERENCE_ROWS, 32)])
def test_of_a_large_split_rows_are_spread_evenly(count: int, batch: int) -> None:
    spec = make_spec()
    rows = ReferenceRows(spec, count)
    shade, load = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3), image_input().load
    samples = [load(shade)] * batch
    scores = np.full((batch, 3), 1 / 3, np.float32)
    for start in range(0, count, batch):
        size = min(batch, count - start)
        rows.see({"scores": scores[:size]}, samples[:size])
    reference = rows.reference("test")
    assert reference is not None
    assert reference.rows == min(count, REFERENCE_ROWS)


def test_answers_that_are_measured_otherwise_than_served_are_not_watched() -> None:
    """A language model is measured by the likelihood of texts, and served to continue them."""
    writer = GeneratedTextOutput(20, 16, (0,), (1,), 5)
    rows = ReferenceRows(replace(make_spec(), output=writer, baked=()), 2)
    sample = image_input().load(np.zeros((4, 4, 3), np.uint8))
    rows.see({}, [sample, sample])
    reference = rows.reference("val")
    assert reference is not None
    assert all(name.startswith(INPUT) for name in reference.numbers)
    assert not reference.words

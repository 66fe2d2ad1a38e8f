"""Task ``medical``: options, what it feeds, what it reports, and how it divides patients again later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtimes import UsageError
from sdk import Predictor, read_artifact
from sdk.inputs.dicom import DicomInput
from train.options import TrainOptions, make_options
from train.tasks import get_task, task_of
from train.tasks.base import Split
from train.tasks.medical import MedicalOptions, MedicalTask, parse_window

pytest.importorskip("pydicom", reason="pydicom is not installed")

from tests.small_dicom import write_medical_folder

TASK = MedicalTask()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients a class, no test part."""
    return write_medical_folder(tmp_path_factory.mktemp("medical"))


@pytest.fixture
def options(data: Path, tmp_path: Path) -> Callable[..., TrainOptions]:
    def make(**given: Any) -> TrainOptions:
        return make_options(
            "medical", data, tmp_path / "run", **{"model": "compact_cnn", "image_size": 16, **given}
        )

    return make


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (None, ("header", None, None)),
        ("full", ("full", None, None)),
        ("40/400", ("fixed", 40.0, 400.0)),
        ("-600/1500", ("fixed", -600.0, 1500.0)),
    ],
)
def test_window_option(text: str | None, parsed: tuple[Any, ...]) -> None:
    assert parse_window(text) == parsed


@pytest.mark.parametrize("text", ["wide", "40", "40/0", "40/x", "/"])
def test_wrong_window_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"Option --window: got .*, expected header, full, or CENTRE/WIDTH"):
        MedicalOptions(window=text)


def test_pictures_are_letterboxed_on_black(options: Callable[..., TrainOptions]) -> None:
    fed = TASK.plan(options(window="full", frame="middle", tta=("mirror",))).spec.input
    assert isinstance(fed, DicomInput)
    assert (fed.channels, fed.resize, fed.pad_colour) == ("grey", "letterbox", (0, 0, 0))
    assert (fed.window, fed.frame, fed.views) == ("full", "middle", ("identity", "mirror"))
    assert fed.std[0] > 0.05  # measured, not 1


def test_plan_says_how_patients_were_divided_and_the_task_divides_them_so_again(
    options: Callable[..., TrainOptions], data: Path
) -> None:
    plan = TASK.plan(options(patients="prefix"))
    assert plan.facts["medical"] == {"patients": "prefix", "hold_out": "patients"}
    again = TASK.as_trained(plan.facts).load_split(data, "val", plan.spec)
    assert again.sha256 == plan.splits.val.sha256
    assert {str(item) for item in plan.splits.train.items}.isdisjoint(map(str, again.items))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after an epoch, its patients told apart by file name."""
    from train.loop import train

    options = make_options(
        "medical", data, tmp_path_factory.mktemp("run") / "run", model="compact_cnn", image_size=16, epochs=1,
        batch_size=4, threads=1, num_workers=0, device="cpu", patients="prefix",
    )  # fmt: skip
    return train(options).checkpoint


def test_checkpoint_says_what_was_fitted(trained: Path) -> None:
    artifact = read_artifact(trained)
    facts = artifact.manifest.evidence.facts
    assert facts["temperature_scaling"]["temperature"] == artifact.spec.output.to_json()["temperature"]
    assert facts["temperature_scaling"]["split"] == "val"
    with Predictor(trained) as predictor:
        assert predictor.verify().holds


def test_training_on_divides_and_feeds_as_before_and_can_freeze(trained: Path, data: Path) -> None:
    options = make_options("medical", data, trained.parent / "on", start=trained, freeze="head-only")
    plan = MedicalTask().plan(options)
    assert plan.facts["medical"] == {"patients": "prefix", "hold_out": "patients"}
    assert plan.spec.input == read_artifact(trained).spec.input
    trains = {name for name, p in plan.network.named_parameters() if p.requires_grad}
    assert trains == {"classifier.weight", "classifier.bias"}


def test_task_of_a_checkpoint_finds_its_patients(trained: Path, data: Path) -> None:
    artifact = read_artifact(trained)
    assert (
        task_of(artifact).load_split(data, "val", artifact.spec).sha256
        == (artifact.manifest.evidence.facts["data_sha256"]["val"])
    )


def test_proof_split_is_val_without_a_test_part(data: Path) -> None:
    assert TASK.proof_split(data) == "val"
    assert get_task("medical").name == "medical"


def _results(scores: np.ndarray) -> list[Any]:
    return [SimpleNamespace(scores=row, index=int(row.argmax())) for row in scores]


def _split(targets: list[int], labels: tuple[str, ...]) -> Split:
    return Split("test", list(range(len(targets))), np.array(targets), labels, "")


def test_measure_puts_accuracy_first_and_speaks_of_the_last_of_two_classes() -> None:
    ill = np.array([0.9, 0.8, 0.3, 0.6, 0.2, 0.1], np.float32)
    results = _results(np.stack([1 - ill, ill], axis=1))
    metrics = {m.name: m for m in TASK.measure(results, _split([1, 1, 1, 0, 0, 0], ("well", "ill")))}
    assert list(metrics) == ["accuracy", "sensitivity", "specificity", "roc_auc"]
    assert metrics["sensitivity"].value == pytest.approx(2 / 3)
    assert metrics["specificity"].value == pytest.approx(2 / 3)
    assert metrics["roc_auc"].value == pytest.approx(8 / 9)
    assert all(m.low <= m.value <= m.high for m in metrics.values())


def test_measure_leaves_out_what_the_split_cannot_say() -> None:
    results = _results(np.array([[0.2, 0.8], [0.1, 0.9]], np.float32))
    names = [m.name for m in TASK.measure(results, _split([1, 1], ("well", "ill")))]
    assert names == ["accuracy", "sensitivity"]


def test_report_holds_intervals_calibration_and_pictures() -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], np.float32)
    report = TASK.report(_results(scores), _split([0, 0, 1, 1], ("well", "ill")))
    assert report.figures["positive"] == "ill"
    assert report.figures["rates"][1]["sensitivity"]["value"] == 1.0
    # Confidences 0.9, 0.6 (wrong), 0.7, 0.8.
    assert report.figures["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.3 + 0.2) / 4, abs=1e-6)
    assert report.rows[0][0] == "well" and report.rows[0][1].startswith("50.0% (")
    assert set(report.pictures) == {"confusion_matrix.png", "reliability.png"}
    assert all(png.startswith(b"\x89PNG") for png in report.pictures.values())


def test_calibrated_plan_has_the_fitted_temperature(options: Callable[..., TrainOptions]) -> None:
    plan = TASK.plan(options())
    val = plan.splits.val
    logits = np.zeros((1, len(val), 2), np.float32)
    logits[0, np.arange(len(val)), np.asarray(val.targets)] = 4.0
    logits[0, 0] = -logits[0, 0]  # one wrong answer, as sure as the others
    done = TASK.calibrated(plan, lambda split: {"scores": logits if split is val else None})
    # One of n wrong: 1 / (1 + exp(-4 / T)) = (n - 1) / n.
    expected = 4 / np.log(len(val) - 1)
    assert done.spec.output.temperature == pytest.approx(expected, rel=1e-3)
    assert done.facts["temperature_scaling"]["samples"] == len(val)
    assert plan.spec.output.temperature == 1.0


def test_temperature_can_be_left_alone(options: Callable[..., TrainOptions]) -> None:
    plan = TASK.plan(options(temperature="none"))
    assert TASK.calibrated(plan, lambda _split: {}) is plan


@pytest.mark.parametrize("option", ["window", "frame", "channels", "positive"])
def test_checkpoint_and_feeding_exclude_each_other(
    options: Callable[..., TrainOptions], tmp_path: Path, option: str
) -> None:
    value = {"window": "full", "frame": "first", "channels": "grey", "positive": "below"}[option]
    plain = options()
    given = replace(
        plain, start=tmp_path / "x.safetensors", task_options=replace(plain.task_options, **{option: value})
    )
    with pytest.raises(UsageError, match=f"Options --from and --{option}"):
        TASK.checked(given)


@pytest.mark.parametrize(
    ("field", "flag"),
    [
        ("frame", "--frame"),
        ("patients", "--patients"),
        ("hold_out", "--hold-out"),
        ("temperature", "--temperature"),
    ],
)
def test_unknown_choice_is_refused(field: str, flag: str) -> None:
    with pytest.raises(UsageError, match=f"Option {flag}"):
        MedicalOptions(**{field: "other"})

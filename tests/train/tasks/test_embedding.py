"""Task ``embedding``: options, plan, metrics, and runs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from runtimes import DataError, UsageError
from sdk import Predictor, read_artifact
from sdk.results import Embedding
from tests.train.small_data import COLOURS, SIDE_PX, write_pictures
from train.loop import train
from train.options import TrainOptions, make_options
from train.sampling import ClassBatchSampler
from train.tasks import get_task
from train.tasks.base import Split

QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "items_per_class": 2,
    "image_size": SIDE_PX,
    "dimensions": 8,
    "threads": 1,
    "device": "cpu",
}


@pytest.fixture
def quick_embedding(colour_folder: Path, tmp_path: Path) -> Callable[..., TrainOptions]:
    """Options of a run of a second or two."""

    def options(**given: Any) -> TrainOptions:
        data, out = given.pop("data", colour_folder), given.pop("out", tmp_path / "run")
        return make_options("embedding", data, out, **{**QUICK, **given})

    return options


def _results(*degrees: float) -> list[Embedding]:
    angles = np.radians(degrees)
    return [Embedding(np.array([np.cos(a), np.sin(a)], np.float32), None) for a in angles]


def _split(targets: list[int]) -> Split:
    items = [np.full((4, 4, 3), 40 * target, np.uint8) for target in targets]
    return Split("val", items, targets, ("a", "b", "c"), "")


def test_plan_gives_vectors_in_place_of_scores(quick_embedding: Callable[..., TrainOptions]) -> None:
    options = quick_embedding()
    plan = get_task("embedding").plan(options)
    assert plan.spec.output.to_json() == {"kind": "embedding", "dimensions": 8}
    assert [str(info) for info in plan.spec.graph().outputs] == ["float32 (1+, 8)"]
    assert plan.network.eval()(torch.zeros(2, 3, SIDE_PX, SIDE_PX)).shape == (2, 8)
    assert isinstance(plan.sampler, ClassBatchSampler)


@pytest.mark.parametrize("loss", ["triplet", "triplet+centre", "centre+cross-entropy"])
def test_what_the_loss_learns_is_trained_with_the_network(
    quick_embedding: Callable[..., TrainOptions], loss: str
) -> None:
    plan = get_task("embedding").plan(quick_embedding(loss=loss))
    grouped = [id(parameter) for group in plan.groups for parameter in group.parameters]
    learned = [id(parameter) for parameter in plan.loss.parameters()]
    assert set(learned) <= set(grouped)
    assert len(learned) == ("cross-entropy" in loss)
    assert len(set(grouped)) == len(grouped)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "hinge"}, "--loss: got 'hinge', expected one of triplet, centre, cross-entropy"),
        ({"loss": "triplet+triplet"}, "--loss: got 'triplet"),
        ({"loss": "centre"}, "--loss: got centre alone"),
        ({"margin": 0.0}, "--margin: got 0.0"),
        ({"dimensions": 1}, "--dimensions: got 1"),
        ({"centre_weight": 0.0}, "--centre-weight: got 0.0"),
        ({"items_per_class": 1}, "--items-per-class: got 1"),
        ({"items_per_class": 5}, "--batch-size and --items-per-class: got 8 and 5"),
    ],
    ids=str,
)
def test_senseless_options_are_refused(
    quick_embedding: Callable[..., TrainOptions], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        quick_embedding(**given)
    assert message in str(caught.value)


def test_measure_by_hand() -> None:
    task = get_task("embedding")
    recall, precision = task.measure(_results(0, 10, 25, 31, 43), _split([0, 0, 1, 0, 1]))
    # As in test_retrieval: items 0 and 1 find each other, the other three find another class.
    assert (recall.name, recall.value, recall.samples, recall.split) == ("recall@1", 0.4, 5, "val")
    assert recall.low < 0.4 < recall.high
    assert (precision.name, precision.value) == ("mAP@R", pytest.approx((0.5 + 0.5) / 5))


def test_measure_without_truth_gives_nothing() -> None:
    split = Split("val", [1, 2], (), (), "")
    assert get_task("embedding").measure(_results(0, 10), split) == ()


def test_agreement_is_a_matter_of_direction() -> None:
    task = get_task("embedding")
    # cos 8.1° is just above 0.99, cos 8.2° just below.
    assert task.agreement(_results(0, 0, 0, 0), _results(0, 8.1, 8.2, 180)) == 0.5


def test_report_shows_misses_first() -> None:
    report = get_task("embedding").report(_results(0, 10, 25, 31, 43), _split([0, 0, 1, 0, 1]))
    assert report.rows == (("a", "66.7%", "33.3%", "3"), ("b", "0.0%", "0.0%", "2"))
    picture = Image.open(io.BytesIO(report.pictures["neighbours.png"])).convert("RGB")
    pixels = np.asarray(picture).astype(int)
    red, green = ((pixels == colour).all(axis=2).sum() for colour in ((220, 38, 38), (22, 163, 74)))
    # Class a's query is its one miss, item 3, with two of four others of its class; b's is item 2, with one.
    assert red > green > 0
    assert json.loads(json.dumps(report.figures))["labels"] == ["a", "b", "c"]


def test_run_learns_resumes_alike_and_predicts_vectors(
    quick_embedding: Callable[..., TrainOptions], colour_folder: Path, tmp_path: Path
) -> None:
    whole = train(quick_embedding(loss="centre+cross-entropy", scheduler="none", lr=3e-3))
    assert whole.metrics[0].name == "recall@1"
    # Three plain colours: anything that learns at all tells them apart.
    assert whole.metrics[0].value == 1.0

    part = {"loss": "centre+cross-entropy", "scheduler": "none", "lr": 3e-3, "out": tmp_path / "parts"}
    train(quick_embedding(**part, epochs=1))
    resumed = train(quick_embedding(**part, resume=True))
    assert resumed.checkpoint.read_bytes()[-4096:] == whole.checkpoint.read_bytes()[-4096:], "weights"
    assert [e["train_loss"] for e in resumed.history] == [e["train_loss"] for e in whole.history]

    names = read_artifact(whole.checkpoint).manifest.evidence.facts
    assert names["loss"] == "centre+cross-entropy"
    with Predictor(whole.checkpoint) as predictor:
        vector = predictor.predict(next((colour_folder / "red").iterdir())).vector
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_run_starts_from_a_checkpoint_with_other_classes(
    quick_embedding: Callable[..., TrainOptions], tmp_path: Path
) -> None:
    first = train(quick_embedding(epochs=1, loss="triplet"))
    other = tmp_path / "other"
    for seed, label in enumerate(("bright", "dim")):
        write_pictures(other / label, COLOURS[("red", "blue")[seed]], 8, seed)
    given = {"epochs": 1, "start": first.checkpoint, "out": tmp_path / "second", "data": other}
    given |= {"image_size": None, "dimensions": None}
    second = train(quick_embedding(**given))
    spec = read_artifact(second.checkpoint).spec
    assert spec == read_artifact(first.checkpoint).spec
    with pytest.raises(UsageError, match="--from and --dimensions"):
        quick_embedding(**{**given, "dimensions": 9})


def test_small_classes_leave_two_pictures_to_compare(tmp_path: Path) -> None:
    for seed, label in enumerate(COLOURS):
        write_pictures(tmp_path / label, COLOURS[label], 5, seed)
    task = get_task("embedding")
    counts = {
        name: np.bincount(task.load_split(tmp_path, name).targets).tolist() for name in ("train", "val")
    }
    assert counts == {"train": [3, 3, 3], "val": [2, 2, 2]}


def test_pictures_without_their_like_are_refused(
    quick_embedding: Callable[..., TrainOptions], tmp_path: Path
) -> None:
    for seed, label in enumerate(COLOURS):
        write_pictures(tmp_path / "train" / label, COLOURS[label], 4, seed)
        write_pictures(tmp_path / "val" / label, COLOURS[label], 1, seed)
    with pytest.raises(DataError, match="Split 'val': got no two pictures of one class"):
        get_task("embedding").plan(quick_embedding(data=tmp_path))


def test_parts_may_have_classes_of_their_own(
    quick_embedding: Callable[..., TrainOptions], tmp_path: Path
) -> None:
    for part, labels in {"train": ("red", "green", "blue"), "val": ("red", "violet")}.items():
        for seed, label in enumerate(labels):
            write_pictures(tmp_path / part / label, COLOURS.get(label, (140, 40, 200)), 8, seed)
    result = train(quick_embedding(data=tmp_path, epochs=1))
    assert [row[0] for row in result.report.rows] == ["red", "violet"]
    assert result.metrics[0].samples == 16


def test_student_learns_the_direction_of_its_teacher(
    quick_embedding: Callable[..., TrainOptions], tmp_path: Path
) -> None:
    teacher = train(quick_embedding(epochs=1, loss="triplet"))
    taught = {"teacher": teacher.checkpoint, "out": tmp_path / "taught", "start": teacher.checkpoint}
    student = train(quick_embedding(**taught, epochs=1, image_size=None, dimensions=None))
    facts = read_artifact(student.checkpoint).manifest.evidence.facts
    assert (
        facts["distillation"]["teacher_sha256"] == read_artifact(teacher.checkpoint).manifest.payload_sha256
    )
    # It starts as its own teacher: a fresh one would be a right angle away.
    assert student.history[0]["train_soft_loss"] < 0.5
    with pytest.raises(UsageError, match="other dimensions than the student's"):
        train(quick_embedding(teacher=teacher.checkpoint, out=tmp_path / "x", dimensions=9))


@pytest.mark.slow
def test_rounding_is_trained_with_what_the_loss_learns(
    quick_embedding: Callable[..., TrainOptions], tmp_path: Path
) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed")
    first = train(quick_embedding(epochs=1))
    given = {"qat": first.checkpoint, "out": tmp_path / "qat", "image_size": None, "dimensions": None}
    second = train(quick_embedding(**given, epochs=1))
    assert "qat" in read_artifact(second.checkpoint).manifest.evidence.facts
    assert second.metrics[0].value == 1.0


def test_run_with_several_views_gives_unit_vectors(
    quick_embedding: Callable[..., TrainOptions], colour_folder: Path
) -> None:
    result = train(quick_embedding(epochs=1, tta=("mirror", "flip")))
    assert read_artifact(result.checkpoint).spec.input.views == ("identity", "mirror", "flip")
    with Predictor(result.checkpoint) as predictor:
        vector = predictor.predict(next((colour_folder / "red").iterdir())).vector
        assert predictor.verify().holds
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)

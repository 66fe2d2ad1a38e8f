"""Task ``segmentation``, from a folder to a checkpoint that `Predictor` serves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import DataError, UsageError
from sdk import Predictor
from sdk.outputs.segmentation import SegmentationOutput
from sdk.results import Segmentation
from tests.train.mask_sets import LABELS, write_set
from train.data.boxes import upright_size
from train.loop import train
from train.options import TrainOptions, make_options
from train.tasks import get_task
from train.tasks.base import Split

TASK = get_task("segmentation")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set with all parts. Read only."""
    return write_set(tmp_path_factory.mktemp("masks") / "set", train=24, val=6, test=8)


def _options(data: Path, out: Path, **given: Any) -> TrainOptions:
    plain = {"epochs": 1, "batch_size": 8, "image_size": 24, "threads": 1, "device": "cpu"}
    return make_options("segmentation", data, out, **{**plain, **given})


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few seconds' training."""
    out = tmp_path_factory.mktemp("run") / "run"
    return train(_options(data, out, epochs=14, lr=1e-2, augment=("flip",))).checkpoint


def _results(*masks: Any) -> list[Segmentation]:
    return [Segmentation.of(np.asarray(mask, np.uint8), LABELS, None) for mask in masks]


def test_training_learns_and_the_predictor_agrees(data: Path, trained: Path) -> None:
    split = TASK.load_split(data, "test")
    with Predictor(trained) as predictor:
        results = predictor.predict(list(split.items))
        metrics = TASK.measure(results, split)
        recorded = predictor.manifest.evidence.metrics
    assert metrics[0].name == "mean_iou"
    assert metrics[0].value > 0.7
    assert [m.value for m in metrics] == pytest.approx([m.value for m in recorded], abs=1e-3)
    assert results[0].size_wh == upright_size(split.items[0])


def test_run_folder_tells_classes_and_the_worst_pictures(trained: Path) -> None:
    figures = json.loads((trained.parent / "metrics.json").read_text())
    assert [entry["label"] for entry in figures["classes"]] == list(LABELS)
    assert {metric["name"] for metric in figures["metrics"]} == {"mean_iou", "mean_dice", "pixel_accuracy"}
    for name in ("worst.png", "confusion_matrix.png", "curves.png"):
        assert upright_size(trained.parent / name)[0] > 100


def test_checkpoint_says_what_its_network_is(trained: Path) -> None:
    with Predictor(trained) as predictor:
        spec = predictor.spec
    assert spec.network.arguments == {"channels": 3, "classes": 3, "width": 16, "depth": 4}
    assert spec.output == SegmentationOutput(LABELS, "softmax")
    assert spec.graph().outputs[0].shape[1:] == (3, 24, 24)


def test_training_goes_on_from_a_checkpoint(data: Path, trained: Path, tmp_path: Path) -> None:
    plan = TASK.plan(_options(data, tmp_path / "run", start=trained, image_size=None, lr=1e-4))
    with Predictor(trained) as predictor:
        assert plan.spec == predictor.spec
    assert plan.parent_sha256 is not None


def test_classes_are_numbered_as_in_the_checkpoint(data: Path, trained: Path) -> None:
    with Predictor(trained) as predictor:
        spec = predictor.spec
    turned = replace(spec, output=SegmentationOutput(LABELS[::-1], "softmax"))
    plain, other = (TASK.load_split(data, "val", one) for one in (spec, turned))
    assert other.labels == LABELS[::-1]
    for mask, renumbered in zip(plain.targets, other.targets, strict=True):
        np.testing.assert_array_equal(renumbered, 2 - mask)


def test_classes_that_the_checkpoint_does_not_know_are_refused(data: Path, trained: Path) -> None:
    with Predictor(trained) as predictor:
        spec = replace(predictor.spec, output=SegmentationOutput(("background", "red"), "softmax"))
    with pytest.raises(DataError, match="got class 'blue' in the data alone"):
        TASK.load_split(data, "val", spec)


def test_pictures_without_masks_can_be_predicted_and_not_measured(data: Path, trained: Path) -> None:
    folder = data / "test" / "images"
    with Predictor(trained) as predictor:
        split = TASK.load_split(folder, TASK.proof_split(folder), predictor.spec)
        results = predictor.predict(list(split.items))
    assert split.labels == LABELS
    assert TASK.measure(results, split) == ()
    assert TASK.report(results, split).figures == {"labels": list(LABELS)}


def test_test_part_without_truth_judges_nothing(data: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "test" / "images").mkdir(parents=True)
    for name in ("train", "val", "labels.txt"):
        (tmp_path / "set" / name).symlink_to(data / name)
    (tmp_path / "set" / "test" / "images" / "one.png").write_bytes(
        next((data / "test" / "images").iterdir()).read_bytes()
    )
    assert TASK.proof_split(tmp_path / "set") == "val"
    assert TASK.plan(_options(tmp_path / "set", tmp_path / "run")).splits.proof.name == "val"


def test_val_is_held_out_where_there_is_none(tmp_path: Path) -> None:
    whole = write_set(tmp_path / "whole")
    train_split, val = (TASK.load_split(whole, name) for name in ("train", "val"))
    assert (len(train_split), len(val)) == (11, 1)
    assert not set(train_split.items) & set(val.items)
    assert TASK.proof_split(whole) == "val"


def test_measure_by_hand() -> None:
    truth = [np.array([[0, 0, 1, 1]], np.uint8), np.array([[2, 2, 2, 255]], np.uint8)]
    split = Split("test", ["a", "b"], truth, LABELS, "")
    iou, dice, accuracy = TASK.measure(_results([[0, 1, 1, 1]], [[2, 2, 0, 1]]), split)
    assert iou.value == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)
    assert dice.value == pytest.approx((2 / 4 + 4 / 5 + 4 / 5) / 3)
    assert accuracy.value == pytest.approx(5 / 7)
    assert iou.low <= iou.value <= iou.high
    assert (iou.samples, iou.split) == (2, "test")


def test_agreement_by_hand() -> None:
    ones = _results([[0, 1, 1, 1]], [[2, 2]])
    others = _results([[0, 1, 1, 0]], [[2, 1]])
    assert TASK.agreement(ones, others) == pytest.approx((3 / 4 + 1 / 2) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "dice+lovasz"}, "Option --loss: got 'dice\\+lovasz'"),
        ({"resize": "shortest"}, "Option --resize: got shortest for segmentation"),
        ({"tta": ("mirror",)}, "Option --tta: got it for segmentation"),
        ({"freeze": "head-only"}, "Option --freeze: got head-only with fresh weights"),
        ({"pretrained": True}, "Option --pretrained: got it for unet"),
        ({"model": "deeplabv3_mobilenet_v3_large", "batch_size": 1}, "Option --batch-size: got 1"),
        ({"image_size": 4}, "Option --image-size: got 4"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_honoured_are_refused(
    data: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _options(data, tmp_path / "run", **given)


def test_classifier_is_no_segmentation_network(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Option --model: got compact_cnn, whose answer is"):
        TASK.plan(_options(data, tmp_path / "run", model="compact_cnn"))


def test_training_part_needs_masks(data: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "train" / "images").symlink_to(data / "train" / "images")
    with pytest.raises(DataError, match="got"):
        TASK.plan(_options(tmp_path / "set", tmp_path / "run"))

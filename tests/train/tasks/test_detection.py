"""The task ``detection``: data for a checkpoint, metrics, plans, and a whole small run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from runtimes import DataError, UsageError
from sdk import Predictor
from sdk.artifact import read_artifact
from sdk.inputs.image import ImageInput
from sdk.outputs.boxes import FinalBoxesOutput, YoloGridOutput
from sdk.results import Detections
from sdk.spec import Network, Spec
from tests.train.box_sets import LABELS, draw_picture, random_boxes, write_yolo
from train.data.boxes import BoxTargets
from train.loop import train
from train.networks.yolov3 import yolov3_tiny
from train.options import TrainOptions, make_options
from train.tasks import get_task
from train.tasks.base import Split
from train.yolo_spec import yolo_input, yolo_output, yolo_spec

TASK = get_task("detection")
SIDE_PX = 64
ANCHORS = (((40.0, 40.0), (50.0, 50.0), (60.0, 60.0)), ((10.0, 10.0), (20.0, 20.0), (30.0, 30.0)))
BOX = np.float32([[10, 10, 50, 50]])

Options = Callable[..., TrainOptions]


@pytest.fixture(scope="module")
def box_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training pictures and four for validation. Read only."""
    root = tmp_path_factory.mktemp("boxes")
    write_yolo(root, "train", {f"{at:02d}": random_boxes(at) for at in range(8)})
    return write_yolo(root, "val", {f"{at:02d}": random_boxes(50 + at) for at in range(4)})


@pytest.fixture
def quick(box_folder: Path, tmp_path: Path) -> Options:
    """Options of a small run: ``quick(epochs=1)``."""

    def options(**given: Any) -> TrainOptions:
        defaults = {"epochs": 1, "batch_size": 4, "image_size": SIDE_PX, "threads": 1, "device": "cpu"}
        data = given.pop("data", box_folder)
        return make_options("detection", data, tmp_path / "run", **{**defaults, **given})

    return options


def _spec(*labels: str) -> Spec:
    network = Network("yolov3_tiny", {"classes": len(labels), "anchors": 3})
    return yolo_spec("x", network, yolo_input((SIDE_PX, SIDE_PX)), yolo_output(labels, ANCHORS, (32, 16)))


def _targets(*classes: int) -> BoxTargets:
    count = len(classes)
    return BoxTargets(np.repeat(BOX, count, axis=0), np.array(classes, np.int64), np.zeros(count, bool))


def _found(score: float, label: int = 0) -> Detections:
    return Detections(BOX, np.float32([score]), np.array([label]), (str(label),), None)


def _split(*targets: BoxTargets) -> Split:
    return Split("val", list(range(len(targets))), targets, LABELS, "")


def test_classes_are_numbered_as_in_a_checkpoint_that_knows_more(box_folder: Path) -> None:
    plain = TASK.load_split(box_folder, "val")
    wide = TASK.load_split(box_folder, "val", _spec("cat", "square", "disc"))
    assert wide.labels == ("cat", "square", "disc")
    for one, other in zip(plain.targets, wide.targets, strict=True):
        assert [plain.labels[c] for c in one.classes] == [wide.labels[c] for c in other.classes]
    with pytest.raises(DataError, match="got class 'square', which the checkpoint does not know"):
        TASK.load_split(box_folder, "val", _spec("disc", "cat"))


def test_pictures_alone_can_be_compared_but_not_measured(tmp_path: Path, quick: Options) -> None:
    draw_picture(tmp_path / "photos" / "a.png", [])
    data = tmp_path / "photos"
    split = TASK.load_split(data, TASK.proof_split(data), _spec("disc", "square"))
    assert (len(split), len(split.targets), split.labels) == (1, 0, ("disc", "square"))
    assert TASK.measure([_found(0.9)], split) == ()
    assert TASK.report([_found(0.9)], split).pictures == {}
    with pytest.raises(DataError, match="got items without labels"):
        TASK.plan(quick(data=data))


def test_measure_gives_both_averages_with_intervals() -> None:
    results = [_found(0.9), _found(0.8, 1), _found(0.7)]
    first, second = TASK.measure(results, _split(_targets(0), _targets(1), _targets(1)))
    # The first class has one box, found before a wrong one; of the second's two boxes one was found.
    assert (first.name, second.name) == ("mAP50", "mAP50-95")
    assert first.value == pytest.approx((1 + 51 / 101) / 2)
    assert first.low <= first.value <= first.high
    assert (first.samples, first.split) == (3, "val")


def test_a_split_without_any_box_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="got no boxes at all"):
        TASK.measure([_found(0.9)], _split(_targets()))


def test_report_names_classes_threshold_and_curves() -> None:
    report = TASK.report([_found(0.9), _found(0.8, 1)], _split(_targets(0), _targets(1, 1)))
    assert [row[0] for row in report.rows] == list(LABELS)
    # Two equal boxes of which one was found: precision 1, recall one half.
    assert report.rows[1] == ("square", "50.5%", "50.5%", "100.0%", "50.0%", "2")
    assert report.figures["best_f1"]["threshold"] == pytest.approx(0.8)
    assert report.pictures["precision_recall.png"].startswith(b"\x89PNG")


def test_golden_rows_are_pictures_with_something_in_them() -> None:
    split = _split(*(_targets(*([0] * (at % 2))) for at in range(12)))
    assert TASK.golden_rows(split, 3) == [1, 5, 11]
    assert TASK.golden_rows(_split(_targets(), _targets(0)), 2) == [0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 100}, "Option --image-size: got 100, expected a multiple of 32"),
        ({"model": "resnet18"}, "Option --model: got resnet18, expected one of yolov3_tiny"),
        ({"freeze": "head-only"}, "Option --freeze: got head-only with fresh weights"),
        (
            {"model": "fasterrcnn_resnet50_fpn", "anchors": "kmeans"},
            "Option --anchors: got it with fasterrcnn_resnet50_fpn",
        ),
        ({"match_iou": 0.0}, "Option --match-iou"),
        ({"score_threshold": 1.5}, "Option --score-threshold"),
        ({"iou_threshold": 1.0}, "Option --iou-threshold"),
        ({"augment": ("none", "flip")}, "Option --augment: got none with others"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_honoured_are_refused(
    quick: Options, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        quick(**given)


def test_anchors_are_the_shapes_of_the_data(quick: Options) -> None:
    plan = TASK.plan(quick())
    output = plan.spec.output
    assert isinstance(output, YoloGridOutput)
    areas = [width * height for anchors in output.anchors_wh for width, height in anchors]
    assert len(areas) == 6
    # The coarsest map comes first and has the largest.
    assert min(areas[:3]) >= max(areas[3:])
    sizes = plan.train_set.sizes_wh()  # type: ignore[attr-defined]
    assert sizes.min() - 1 <= min(min(pair) for anchors in output.anchors_wh for pair in anchors)
    assert plan.facts["anchors_mean_iou"] > 0.7


def test_anchors_come_from_a_file(quick: Options, tmp_path: Path) -> None:
    file = tmp_path / "anchors.txt"
    file.write_text("30,30\n10 12\n")
    output = TASK.plan(quick(anchors=str(file))).spec.output
    assert isinstance(output, YoloGridOutput)
    assert output.anchors_wh == (((30.0, 30.0),), ((10.0, 12.0),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10 10\n20 20\n30 30", "Anchors: got 3, expected a multiple of 2"),
        ("10 10\n20 x", "Option --anchors 'anchors.txt': got could not convert"),
        ("10 10 20", "Option --anchors 'anchors.txt': got cannot reshape"),
        ("10 0\n5 5", "got sizes that are not above 0"),
    ],
    ids=["odd", "text", "half a pair", "zero"],
)
def test_anchors_that_do_not_fit_are_named(quick: Options, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "anchors.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        TASK.plan(quick(anchors=str(file)))


def test_keeping_anchors_needs_a_checkpoint(quick: Options) -> None:
    with pytest.raises(UsageError, match="Option --anchors: got keep without a checkpoint"):
        TASK.plan(quick(anchors="keep"))


def test_weights_of_other_classes_keep_all_but_the_classes(quick: Options, tmp_path: Path) -> None:
    torch.manual_seed(0)
    learned = yolov3_tiny(7)
    file = tmp_path / "learned.safetensors"
    save_file(learned.state_dict(), file)
    network = TASK.plan(quick(weights=file, augment=("none",))).network
    ours, theirs = network.state_dict(), learned.state_dict()
    for name, tensor in theirs.items():
        if not name.startswith("head."):
            assert torch.equal(ours[name], tensor), name
    for name in ("head.0.weight", "head.1.bias"):
        boxes = (state[name].unflatten(0, (3, -1))[:, :5] for state in (ours, theirs))
        assert torch.equal(*boxes)
        assert ours[name].shape[0] == 3 * (5 + len(LABELS))


def test_weights_of_another_network_are_refused(quick: Options, tmp_path: Path) -> None:
    file = tmp_path / "learned.safetensors"
    save_file({"nonsense": torch.zeros(3)}, file)
    with pytest.raises(UsageError, match=r"Weights 'learned.safetensors': got no tensor"):
        TASK.plan(quick(weights=file))


def test_names_can_be_given_to_a_set_without(tmp_path: Path, quick: Options) -> None:
    data = write_yolo(tmp_path / "data", "train", {str(at): random_boxes(at) for at in range(8)}, names=False)
    names = tmp_path / "names.txt"
    names.write_text("ball\nbrick\n")
    assert TASK.plan(quick(data=data, labels=names)).spec.output.labels == ("ball", "brick")  # type: ignore[attr-defined]
    names.write_text("ball\n")
    with pytest.raises(UsageError, match="Option --labels 'names.txt': got 1 names, expected 2"):
        TASK.plan(quick(data=data, labels=names))


@pytest.fixture(scope="module")
def small_run(box_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of YOLOv3-tiny over two epochs."""
    out = tmp_path_factory.mktemp("run") / "run"
    options = make_options(
        "detection", box_folder, out, epochs=2, batch_size=4, image_size=SIDE_PX, threads=1, device="cpu"
    )
    train(options)
    return out


def test_a_run_leaves_a_checkpoint_that_finds_boxes(small_run: Path, box_folder: Path) -> None:
    checkpoint = small_run / "detection.safetensors"
    artifact = read_artifact(checkpoint)
    assert artifact.spec.task == "detection"
    assert artifact.spec.output.labels == LABELS  # type: ignore[attr-defined]
    figures = json.loads((small_run / "metrics.json").read_text())
    assert [metric["name"] for metric in figures["metrics"]] == ["mAP50", "mAP50-95"]
    assert {"train_box", "train_objectness", "train_class", "val_mAP50"} <= set(figures["history"][0])
    assert (small_run / "precision_recall.png").is_file()
    with Predictor(checkpoint) as predictor:
        result = predictor.predict(sorted((box_folder / "val" / "images").iterdir())[0])
        assert predictor.verify().holds
    assert isinstance(result, Detections)
    assert (result.scores >= artifact.spec.output.score_threshold).all()  # type: ignore[attr-defined]


def test_a_run_starts_from_a_checkpoint_and_its_size(
    small_run: Path, quick: Options, tmp_path: Path, box_folder: Path
) -> None:
    checkpoint = small_run / "detection.safetensors"
    before = read_artifact(checkpoint).spec
    options = make_options("detection", box_folder, tmp_path / "next", weights=checkpoint, anchors="keep")
    assert options.model == "yolov3_tiny"
    spec = TASK.plan(options).spec
    assert isinstance(before.output, YoloGridOutput)
    assert isinstance(spec.output, YoloGridOutput)
    assert isinstance(spec.input, ImageInput)
    assert spec.output.anchors_wh == before.output.anchors_wh
    assert spec.input.size_wh == (SIDE_PX, SIDE_PX)
    larger = TASK.plan(replace(options, task_options=replace(options.task_options, image_size=96))).spec
    assert larger.input.size_wh == (96, 96)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="a yolov3_tiny for --model yolov3"):
        TASK.plan(quick(weights=checkpoint, model="yolov3"))


def test_thresholds_that_are_given_stand(quick: Options) -> None:
    plan = TASK.plan(quick(score_threshold=0.4, iou_threshold=0.6, augment=("none",)))
    output = TASK.calibrated(plan, lambda _split: {}).spec.output
    assert isinstance(output, YoloGridOutput)
    assert (output.score_threshold, output.iou_threshold) == (0.4, 0.6)


@pytest.mark.slow
def test_faster_rcnn_is_trained_to_the_same_result(quick: Options) -> None:
    model = "fasterrcnn_mobilenet_v3_large_320_fpn"
    result = train(quick(model=model, batch_size=2, augment=("flip",), image_size=96))
    assert {"train_box", "train_proposal_box"} <= set(result.history[0])
    artifact = read_artifact(result.checkpoint)
    assert isinstance(artifact.spec.output, FinalBoxesOutput)
    with Predictor(result.checkpoint) as predictor:
        found = predictor.predict(np.zeros((40, 60, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.boxes_xyxy.shape == (len(found), 4)

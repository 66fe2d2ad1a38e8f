"""A real detector on real photos: every runtime draws the boxes that the checkpoint draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from export.candidate import lower_candidate
from export.recipe import Recipe
from sdk import Predictor
from sdk.artifact import Artifact
from sdk.results import Detections
from train.darknet_import import import_darknet

LEAST_IOU, SCORE_STEP = 0.99, 0.005
"""What deployment may move a box and its score by. Compilers add in another order: about 1e-6 of either."""
LOW_SCORE = 0.05
"""Low enough for a dozen boxes on the photos, beside those that people would call right."""


@pytest.fixture(scope="module")
def checkpoint(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The published YOLOv3-tiny as published: 416 pixels, 2,535 candidates of 80 classes."""
    darknet = shared_data / "yolov3-tiny"
    return import_darknet(
        darknet / "yolov3-tiny.cfg",
        darknet / "yolov3-tiny.weights",
        darknet / "coco.names",
        tmp_path_factory.mktemp("yolo") / "tiny.safetensors",
        score_threshold=LOW_SCORE,
    )


def _found(path: Path, photos: list[Path]) -> list[Detections]:
    with Predictor(path) as predictor:
        results: list[Detections] = predictor.predict(photos)
    return results


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "pte"])
def test_deployed_detector_draws_the_boxes_of_its_checkpoint(
    checkpoint: Artifact, shared_data: Path, tmp_path: Path, target: str
) -> None:
    photos = sorted((shared_data / "photos").iterdir())
    deployed = lower_candidate(checkpoint, target, Recipe(), None, tmp_path, max_batch=1)
    assert deployed.spec.graph().outputs[0].shape[1:] == (2535, 4)
    expected, found = _found(checkpoint.path, photos), _found(deployed.path, photos)
    assert sum(len(each.scores) for each in expected) >= 8
    for theirs, ours in zip(expected, found, strict=True):
        assert ours.labels == theirs.labels
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=SCORE_STEP)
        overlaps = box_iou(torch.from_numpy(ours.boxes_xyxy), torch.from_numpy(theirs.boxes_xyxy)).diagonal()
        assert bool((overlaps >= LEAST_IOU).all())

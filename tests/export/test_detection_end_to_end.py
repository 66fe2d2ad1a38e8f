"""Trees from above: learned from Darknet's weights for a few epochs, and the same in a deployed file."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.pipeline import export_artifacts
from train.darknet_import import import_darknet
from train.loop import train
from train.options import make_options

EPOCHS = 8
LEARNED = 0.05
"""mAP50 of a hundred epochs is 0.36, of none 0.001: eight are far from done, and far from nothing."""
MOST_POINTS = 0.2
"""Of mAP50 between checkpoint and fp32 file: scores that differ by rounding may change places."""
SAME_ANSWERS = 0.99


@pytest.mark.slow
def test_trees_are_learned_and_deployed(shared_data: Path, tmp_path: Path) -> None:
    darknet = shared_data / "yolov3-tiny"
    start = tmp_path / "coco.safetensors"
    files = (darknet / "yolov3-tiny.cfg", darknet / "yolov3-tiny.weights", darknet / "coco.names")
    import_darknet(*files, start)
    names = tmp_path / "names.txt"
    names.write_text("tree\n")
    options = make_options(
        "detection",
        shared_data / "trees",
        tmp_path / "run",
        weights=start,
        labels=names,
        epochs=EPOCHS,
        augment=("mosaic", "scale", "flip", "vertical-flip", "turn", "colour-jitter"),
        device="cpu",
    )
    result = train(options)
    assert result.metrics[0].name == "mAP50"
    assert result.metrics[0].value > LEARNED
    (deployed,) = export_artifacts(result.checkpoint, ["onnx"])
    assert deployed.evidence.parity is not None
    assert deployed.evidence.parity.agreement >= SAME_ANSWERS
    assert abs(deployed.evidence.metrics[0].value - result.metrics[0].value) <= MOST_POINTS / 100

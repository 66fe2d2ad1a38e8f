"""Made-up findings for tests of the report: two classes, one mistake, one artifact that was not run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from demos.report import Findings
from demos.summary import Row
from sdk.artifact import NOT_RUN, PROVED, TRAINED, Metric, Parity
from sdk.bench.figures import Latency
from sdk.outputs.classification import ClassificationOutput
from sdk.results import Classification, RankedLabel
from tests.light_artifact import light_spec

LABELS = ("bright", "<dark> & deep")
TRUTHS = (0, 1, 1, 0)
ANSWERS = (0, 1, 0, 0)


def make_findings() -> Findings:
    """Four pictures, three rows, two epochs."""
    accuracy = Metric("accuracy", 0.75, 0.3, 0.95, 4, "test")
    parity = Parity(3e-7, 1.0, 4)
    timing = Latency.of(np.full(700, 0.0005))
    return Findings(
        rows=[
            Row("light.safetensors", "torch", 4_100, accuracy, None, timing, TRAINED, {}, {}),
            Row("light.onnx", "onnxruntime", 1_250_000, accuracy, parity, timing, PROVED, {}, {}),
            Row("light.trt", "tensorrt", 2_000_000, None, None, None, NOT_RUN, {}, {}),
        ],
        results=[_result(answer) for answer in ANSWERS],
        truths=TRUTHS,
        history=[
            {
                "epoch": epoch,
                "train_loss": 1 / epoch,
                "train_accuracy": 0.55 + 0.1 * epoch,
                "val_loss": 1.2 / epoch,
                "val_accuracy": 0.5 + 0.1 * epoch,
            }
            for epoch in (1, 2)
        ],
        spec=replace(light_spec(), output=ClassificationOutput(LABELS, "softmax", 2, 1.0)),
        shown_file="light.onnx",
        environment={"Processor": "one & only"},
        data_note="Data: four pictures.",
        train_seconds=60.0,
        total_seconds=90.0,
    )


def _result(index: int) -> Classification:
    label, score = LABELS[index], 0.875
    picture = Image.fromarray(np.full((28, 28), 200 * index, np.uint8))
    ranked = (RankedLabel(label, score, index),)
    return Classification(label, score, index, ranked, np.array([score, 1 - score], np.float32), picture)

"""Quantisation-aware training, end to end: what a harsh setting costs in the `.pte`, and what is won back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from export.calibration import CalibrationSet
from export.lowering import Request
from export.lowerings.executorch_lowering import ExecuTorchLowering
from export.recipe import Recipe
from runtimes import Program
from runtimes.executorch_runtime import ExecuTorchRuntime
from runtimes.torch_runtime import load_network
from sdk.artifact import read_artifact
from tests.export.conftest import _read
from train.loop import train
from train.options import make_options

BATCH, WEIGHT_BITS = 10, 3


def _accuracy(checkpoint: Path, data: Path, precision: str) -> float:
    """Of the `.pte` with 3-bit weights, one scale per tensor, where `precision` is int8."""
    artifact = read_artifact(checkpoint)
    train_images, images = (
        _read(data / f"{stem}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28) for stem in ("train", "t10k")
    )
    recipe = Recipe(precision, calibrator="minmax", granularity="per-tensor")
    request = Request(recipe, BATCH, 100, CalibrationSet("train", list(train_images[:128]), "x"))
    lowered = ExecuTorchLowering(WEIGHT_BITS).lower(load_network(artifact.program()), artifact.spec, request)
    with ExecuTorchRuntime(Program(lowered.payload)) as runtime:
        parts = [
            runtime.run({"input_0": images[at : at + BATCH, ..., None].copy()})["output_0"]
            for at in range(0, len(images), BATCH)
        ]
    targets = _read(data / "t10k-labels-idx1-ubyte.gz", 8)
    return float(np.mean(np.concatenate(parts).argmax(axis=1) == targets))


@pytest.mark.slow
def test_qat_wins_back_half_of_what_a_harsh_setting_costs(root: Path, tmp_path: Path) -> None:
    data = root / "demos" / "data" / "fashion_mnist_sample"
    machine = {"batch_size": 64, "threads": 1, "device": "cpu"}
    # As the quickstart trains it: only a network that has learnt much has much to lose.
    options = make_options("product", data, tmp_path / "start", epochs=16, lr=4e-3, **machine)
    start = train(options).checkpoint
    exact, harsh = (_accuracy(start, data, precision) for precision in ("fp32", "int8"))
    assert exact - harsh > 0.05, f"{exact:.1%} and {harsh:.1%}: nothing to win back"
    harshly = {"qat_granularity": "per-tensor", "qat_weight_bits": WEIGHT_BITS}
    options = make_options("product", data, tmp_path / "qat", qat=start, **harshly, **machine)
    trained = _accuracy(train(options).checkpoint, data, "int8")
    figures = f"fp32 {exact:.1%}, 3-bit per-tensor {harsh:.1%}, after training {trained:.1%}"
    assert trained - harsh > 0.5 * (exact - harsh), figures
    sys.stdout.write(figures + "\n")

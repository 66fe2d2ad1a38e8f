"""Pictures of a run."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from train.plots import confusion_matrix_png, curves_png


def _decode(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image.convert("RGB")


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_confusion_matrix_png_grows_with_the_classes(classes: int) -> None:
    matrix = np.diag(np.arange(classes)).astype(np.int64)
    image = _decode(confusion_matrix_png(matrix, [f"class {at}" for at in range(classes)], "title"))
    assert image.height >= 400 + 40 * (classes - 10)
    assert len(image.getcolors(1 << 20)) > 10


def test_curves_png_draws_what_is_there() -> None:
    history = [{"epoch": at, "train_loss": 1.0 / at, "val_accuracy": 0.1 * at} for at in range(1, 6)]
    more = [{**entry, "val_loss": 2.0 / entry["epoch"]} for entry in history]
    assert _decode(curves_png(history, "accuracy")).size == _decode(curves_png(more, "accuracy")).size
    assert curves_png(history, "accuracy") != curves_png(more, "accuracy")


def test_curves_png_of_a_single_epoch() -> None:
    assert _decode(curves_png([{"epoch": 1, "train_loss": 0.5, "val_accuracy": 0.5}], "accuracy")).width > 500

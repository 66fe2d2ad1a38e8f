"""How often drift is called: on windows of unchanged pictures, and of changed ones.

    python -m demos.drift_study ARTIFACT IMAGES.idx3-ubyte.gz [--windows 100] [--rows 500]

The artifact is a classifier of pictures that carries a reference; the images are others of the same kind, in
the IDX format. Each window is drawn with a seed of its own. Exit code 1 where more than 2 in 100 unchanged
windows are flagged, or fewer than 98 in 100 changed ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from sdk import Predictor
from sdk.monitor.drift import measure_drift
from sdk.monitor.prediction_log import features_of
from train.data.idx import read_idx

MOST_ALARMS, LEAST_DETECTED = 0.02, 0.98
_BATCH = 32
_BORDER_PX = 3


def _noisy(picture: Any) -> Any:
    seed = int(picture.sum())  # the same noise for the same picture
    return picture + np.random.default_rng(seed).normal(0, 8, picture.shape)


def _blurred(picture: Any) -> Any:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.7)))


def _shrunk(picture: Any) -> Any:
    inner = tuple(side - 2 * _BORDER_PX for side in reversed(picture.shape))
    return np.pad(np.asarray(Image.fromarray(picture).resize(inner)), _BORDER_PX)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "15 % darker": lambda picture: picture * 0.85,
    "noise of 8 levels": _noisy,
    "slightly blurred": _blurred,
    "shrunk by a fifth": _shrunk,
}


def features(predictor: Predictor, pictures: list[Any]) -> list[Any]:
    """What the prediction log would hold of each picture."""
    rows: list[Any] = []
    for start in range(0, len(pictures), _BATCH):
        arrays, samples = predictor.prepare(pictures[start : start + _BATCH])
        results = predictor.finish(predictor.compute(arrays), samples)
        rows += [features_of(predictor.spec, *pair) for pair in zip(samples, results, strict=True)]
    return rows


def flagged(reference: Any, rows: list[Any], windows: int, size: int) -> int:
    """How many of so many seeded windows of `size` rows are called drift."""
    drawn = (np.random.default_rng(seed).choice(len(rows), size, replace=False) for seed in range(windows))
    return sum(measure_drift(reference, [rows[at] for at in window]).status == "drift" for window in drawn)


def main() -> int:
    """Count, print, and judge."""
    parser = argparse.ArgumentParser(prog="python -m demos.drift_study")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--pictures", type=int, default=12_000, help="from the end of the file (12000)")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--rows", type=int, default=500, help="of a window (500)")
    args = parser.parse_args()
    pictures = list(read_idx(args.images)[-args.pictures :])
    holds = True
    with Predictor(args.artifact) as predictor:
        reference = predictor.manifest.reference
        if reference is None:
            parser.error(f"{args.artifact.name} carries no reference; export it again")
        count = flagged(reference, features(predictor, pictures), args.windows, args.rows)
        print(f"{'as they are':20}{count:4} of {args.windows} windows flagged")
        holds = count <= MOST_ALARMS * args.windows
        for name, change in CHANGES.items():
            changed = [np.clip(change(picture), 0, 255).astype(np.uint8) for picture in pictures[:4000]]
            count = flagged(reference, features(predictor, changed), args.windows, args.rows)
            print(f"{name:20}{count:4} of {args.windows} windows flagged")
            holds = holds and count >= LEAST_DETECTED * args.windows
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())

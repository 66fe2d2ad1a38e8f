"""Small sets of pictures with masks, made on the spot: what a class looks like is its colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("background", "red", "blue")
COLOURS = np.array(((60, 140, 60), (210, 40, 40), (40, 40, 210)), np.uint8)


def write_pairs(folder: Path, count: int, size_wh: tuple[int, int] = (24, 18), seed: int = 0) -> None:
    """Pictures of one coloured box on green, with their masks."""
    generator = np.random.default_rng(seed)
    for inner in ("images", "masks"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    width, height = size_wh
    for at in range(count):
        mask = np.zeros((height, width), np.uint8)
        left, top = generator.integers(0, width // 2), generator.integers(0, height // 2)
        mask[top : top + height // 2, left : left + width // 2] = 1 + at % 2
        pixels = COLOURS[mask].astype(int) + generator.integers(-20, 20, (height, width, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{at:03d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{at:03d}.png")


def write_set(root: Path, **counts: int) -> Path:
    """A set with the parts that are named; without any, one with 12 pictures and no parts."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
    for seed, (part, count) in enumerate((counts or {".": 12}).items()):
        write_pairs(root / part, count, seed=seed)
    return root

"""Small data sets that are made on the spot."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")
SIDE_PX = 16
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


def write_pictures(folder: Path, colour: tuple[int, int, int], count: int, seed: int) -> None:
    """Noisy pictures of one colour as PNG."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        noise = generator.integers(-40, 40, (SIDE_PX, SIDE_PX, 3))
        pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    """An idx file of unsigned bytes, gzipped when its name ends in .gz."""
    raw = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_idx_folder(folder: Path, classes: int = 3, per_class: int = 10, suffix: str = ".gz") -> Path:
    """Four idx files in which a class is a brightness; 8×6 pictures (height × width)."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(5)
    for prefix in ("train", "t10k"):
        labels = np.tile(np.arange(classes, dtype=np.uint8), per_class)
        noise = generator.integers(0, 40, (len(labels), 8, 6))
        images = (labels[:, None, None] * (200 // classes) + noise).astype(np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels)
    return folder

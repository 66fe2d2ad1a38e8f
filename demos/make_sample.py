"""Make the bundled sample from the full Fashion-MNIST folder.

    python -m demos.make_sample ../shared/data/fashion-mnist

takes the first images of every class in file order, so that the result is the same each time and holds every
class equally often: 600 of each for training and 100 of each for testing.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.data.idx import read_idx

SAMPLE_DIR = Path(__file__).parent / "data" / "fashion_mnist_sample"
IMAGES_PER_CLASS = {"train": 600, "t10k": 100}
CLASSES = 10


def main() -> int:
    """Read the arguments and write the four files."""
    parser = argparse.ArgumentParser(description="Make the bundled Fashion-MNIST sample.")
    parser.add_argument("source", type=Path, help="folder with the four files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=SAMPLE_DIR, help="where the four smaller files go")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for prefix, per_class in IMAGES_PER_CLASS.items():
        images = read_idx(args.source / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(args.source / f"{prefix}-labels-idx1-ubyte.gz")
        chosen = first_of_each_class(labels, per_class)
        write_idx(args.out / f"{prefix}-images-idx3-ubyte.gz", images[chosen])
        write_idx(args.out / f"{prefix}-labels-idx1-ubyte.gz", labels[chosen])
    return 0


def first_of_each_class(labels: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Ascending indices of the first `count` entries of each class in `labels`, shape (N,)."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(CLASSES)]))


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """A gzipped idx file without a time stamp, so that equal data gives equal bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 0x08, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    raise SystemExit(main())

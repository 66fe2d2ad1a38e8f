"""What pruning and INT8 gain on ResNet-18 at 224×224, on this machine.

    python -m demos.resnet18_compression

trains it for one epoch on a few of the bundled pictures, so that it is a real checkpoint with real
activations, and exports it four ways: fp32, half of the channels removed, INT8, and both. The table says how
much smaller and faster each is than its fp32 parent, measured in turns in one run; an artifact that is not
says "no gain". Its accuracy means nothing: latency and size depend on the network's shape.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from demos.environment import describe_environment
from demos.make_sample import SAMPLE_DIR, first_of_each_class, write_idx
from demos.summary import Row, print_table, summarise
from export.calibration import CalibrationChoice
from export.pipeline import export_artifacts
from export.progress import progress_bars
from export.recipe import INT8, Recipe
from runtimes import EdgewrightError
from train.data.idx import read_idx
from train.loop import train
from train.options import make_options

PER_CLASS = {"train": 20, "t10k": 10}
CALIBRATION_SAMPLES = 64
PRUNED_SHARE = 0.5
ANY_DROP = 100.0
TARGETS = ("onnx", "pte")


def main() -> int:
    """Read the arguments, measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("resnet18"), help="folder for all files; default: resnet18/"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    args = parser.parse_args()
    try:
        rows = compress_resnet18(args.out, args.seed)
    except EdgewrightError as error:
        print(f"edgewright: {error}", file=sys.stderr)
        return 2
    print_table(rows)
    print(f"On {describe_environment()['Processor']}. One epoch on few pictures: its accuracy means nothing.")
    return 0


def compress_resnet18(out: Path, seed: int = 0) -> list[Row]:
    """Train for an epoch and export in every combination of pruning and INT8.

    Returns:
        A row per artifact, the checkpoint first.
    """
    data = out / "data"
    _write_few_pictures(data)
    options = make_options(
        "product", data, out / "run", model="resnet18", epochs=1, batch_size=16, seed=seed, overwrite=True
    )
    checkpoint = train(options, say=print).checkpoint
    common: dict[str, Any] = {"data": data, "overwrite": True, "max_drop": ANY_DROP}
    int8 = {"recipe": Recipe(INT8), "calibration": CalibrationChoice(samples=CALIBRATION_SAMPLES)}
    pruned = {"prune": PRUNED_SHARE, "recovery_epochs": 0}
    with progress_bars() as progress:
        done = [
            exported
            for how in ({}, pruned, int8, {**pruned, **int8})
            for exported in export_artifacts(checkpoint, TARGETS, progress=progress, **common, **how)
        ]
    return summarise([checkpoint, *(exported.path for exported in done)], {})


def _write_few_pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in PER_CLASS.items():
        images = read_idx(SAMPLE_DIR / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(SAMPLE_DIR / f"{prefix}-labels-idx1-ubyte.gz")
        rows = first_of_each_class(labels, count)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images[rows])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels[rows])


if __name__ == "__main__":
    raise SystemExit(main())

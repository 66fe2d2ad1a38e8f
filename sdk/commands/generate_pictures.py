"""`edgewright generate` for generators of pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from sdk.atomic_write import atomic_write

if TYPE_CHECKING:
    from sdk.predictor import Predictor
    from sdk.results import GeneratedImage

PICTURE_OPTIONS = ("count", "out", "truncation", "overwrite")
"""Options that only pictures have, by their ``dest``."""
DEFAULT_COUNT = 16
_GRID_SUFFIX = ".png"


def add_picture_options(group: Any) -> None:
    """Add the options of pictures; each default is None: not given."""
    group.add_argument(
        "-n", dest="count", type=int, metavar="N", help=f"how many pictures. Default: {DEFAULT_COUNT}"
    )
    group.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="FILE.png for all of them in one grid, or a folder for a file each",
    )
    group.add_argument(
        "--truncation",
        type=float,
        metavar="X",
        help="draw no number beyond X deviations: less variety, fewer failures. Default: all are drawn",
    )
    group.add_argument("--overwrite", action="store_true", default=None, help="replace what is at --out")


def generate_pictures(predictor: Predictor, args: argparse.Namespace) -> int:
    """Draw pictures, and write them."""
    out: Path | None = args.out
    if out is None:
        raise UsageError("Option --out", got="nothing", expected="where the pictures go",
                         fix="Say --out grid.png, or --out FOLDER.")  # fmt: skip
    as_grid = out.suffix.lower() == _GRID_SUFFIX
    _require_free(out, as_grid, bool(args.overwrite))
    count = DEFAULT_COUNT if args.count is None else args.count
    results = predictor.generate(count, seed=args.seed, truncation=args.truncation)
    answers = _write_grid(results, out) if as_grid else _write_each(results, out)
    if args.json:
        print(json.dumps(answers, indent=2))
    else:
        print(f"{out}: {count} pictures, seed {args.seed}")
    return 0


def _write_grid(results: list[GeneratedImage], out: Path) -> list[dict[str, Any]]:
    from sdk.results.picture_grid import grid_png

    atomic_write(out, grid_png([result.plot() for result in results]))
    return [_told(out, result) for result in results]


def _write_each(results: list[GeneratedImage], out: Path) -> list[dict[str, Any]]:
    from sdk.results.picture_grid import png_bytes

    out.mkdir(parents=True, exist_ok=True)
    answers = []
    for at, result in enumerate(results):
        file = out / f"{at:05d}.png"
        atomic_write(file, png_bytes(result.plot()))
        answers.append(_told(file, result))
    return answers


def _told(file: Path, result: GeneratedImage) -> dict[str, Any]:
    """Where a picture is, and its seed, which `predict` takes; truncated numbers have none."""
    seed = result.source if isinstance(result.source, int) else None
    return {"file": str(file), "seed": seed, "size_wh": list(result.size_wh)}


def _require_free(out: Path, as_grid: bool, overwrite: bool) -> None:
    """Refuse to write over what is there, before anything is drawn."""
    if as_grid:
        taken = out.exists() and not (overwrite and out.is_file())
        got = "a file that is there already" if out.is_file() else "a folder"
    else:
        taken = out.exists() and not (out.is_dir() and (overwrite or not any(out.iterdir())))
        got = "a folder with things in it" if out.is_dir() else f"a file that is no {_GRID_SUFFIX}"
    if taken:
        raise UsageError(f"Option --out {out.name!r}", got=got, expected="a new name",
                         fix="Choose another, or say --overwrite to replace pictures.")  # fmt: skip

"""What the Predictor costs beside the best code written by hand for the same model, in one run.

    python -m demos.lean_predictor --photo photo.jpg --json lean.json

Two networks with random weights (about 2 ms and about 20 ms on two cores), one real photo as a 1280×720 JPEG
and as an array. Predictions take turns in blocks of shuffled order; cold starts are fresh processes in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demos.lean.by_hand import ByHand
from demos.lean.measure import Start, in_pairs, launch_in_turns, phases_ms, ratio_of, take_turns
from demos.lean.models import PICTURE_WH, make_artifact, make_picture
from runtimes import UsageError
from sdk import Predictor

NETWORKS = ("mobilenet_v3_small", "resnet18")
MOST_PREDICT, MOST_COLD, MOST_PEAK_MB = 1.05, 1.15, 120.0
PAIRS_A_ROUND = 15
_HERE = Path(__file__).resolve().parent / "lean"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write JSON."""
    args = _parser().parse_args(words)
    with tempfile.TemporaryDirectory(prefix="edgewright-lean-") as name:
        found = measure(Path(name), _photo(args.photo), args)
    print(table(found))
    for name, figure in past_limits(found).items():
        print(f"past its limit: {name}: {figure:.3f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(scratch: Path, photo: Path, args: argparse.Namespace) -> dict[str, Any]:
    """All figures as JSON data: `predict` rows and `cold_start` rows."""
    jpeg = make_picture(photo, scratch / "photo.jpg")
    found: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "predict": [], "cold_start": []}
    for network in args.networks:
        path = make_artifact(network, scratch / f"{network}.onnx", jpeg_scaling=args.jpeg_scaling)
        found["predict"] += predict_rows(path, jpeg, args.rounds)
        found["cold_start"].append(cold_row(path, jpeg, args.launches, scratch / "bytecode"))
    for path in args.artifacts:
        found["cold_start"].append(cold_row(path, jpeg, args.launches, scratch / "bytecode"))
    return found


def predict_rows(path: Path, jpeg: Path, rounds: int) -> list[dict[str, Any]]:
    """Predictions from a JPEG file and from an array, beside code written by hand."""
    with Image.open(jpeg) as image:
        pixels = np.asarray(image)
    rows = []
    with Predictor(path) as predictor:
        same, defaults = (ByHand(path, predictor.spec, PICTURE_WH, how) for how in ("running", "always"))
        for kind, item in (("jpeg", jpeg), ("array", pixels)):
            by_hand, usual = (getattr(code, kind) for code in (same, defaults))
            require_equal(predictor.predict(item).scores, by_hand(item))
            calls: dict[str, Callable[[], int]] = {
                "ours": lambda item=item: predictor.predict(item).index,
                "by hand": lambda item=item, call=by_hand: int(call(item).argmax()),
                "defaults": lambda item=item, call=usual: int(call(item).argmax()),
            }
            paired = in_pairs(calls["ours"], calls["by hand"], PAIRS_A_ROUND * rounds)
            times = take_turns({name: calls[name] for name in ("ours", "defaults")}, rounds)
            parts = phases_ms(predictor, item)
            rows.append(
                {
                    "network": path.stem,
                    "input": kind,
                    **asdict(ratio_of(*paired)),
                    "against_defaults": asdict(ratio_of(times["ours"], times["defaults"])),
                    "phases_ms": parts,
                    "dominates": max(parts, key=lambda name: parts[name]),
                }
            )
    return rows


def cold_row(path: Path, jpeg: Path, launches: int, bytecode: Path) -> dict[str, Any]:
    """Fresh processes up to their first result, beside a minimal script."""
    starts = launch_in_turns(
        {
            "ours": [str(_HERE / "ours.py"), str(path), str(jpeg)],
            "minimal": [str(_HERE / "minimal.py"), str(path), str(jpeg), *_numbers(path)],
        },
        launches,
        bytecode,
    )
    ours, minimal = starts["ours"], starts["minimal"]
    if {start.answer for start in ours} != {start.answer for start in minimal}:
        raise UsageError("Scripts", got="different answers", expected="one", fix="Mend the minimal script.")
    return {
        "network": path.stem,
        **asdict(ratio_of([s.seconds for s in ours], [s.seconds for s in minimal])),
        "peak_mb": _peak(ours),
        "minimal_peak_mb": _peak(minimal),
        "launches": launches,
    }


def require_equal(ours: Any, theirs: Any) -> None:
    """The same scores to the last bit: what is compared must do the same work."""
    if not np.array_equal(ours, theirs):
        raise UsageError("Scores", got="different ones", expected="the same", fix="Mend the code by hand.")


def past_limits(found: dict[str, Any]) -> dict[str, float]:
    """What is past its limit, by name.

    Starts and memory count for networks of ordinary size, where the minimal script itself stays below the
    limit of memory: 46 MB of weights take 27 ms to hash, which that script does without.
    """
    past = {
        f"predict {row['network']} {row['input']}": row["ratio"]
        for row in found["predict"]
        if row["ratio"] > MOST_PREDICT
    }
    for row in found["cold_start"]:
        if row["minimal_peak_mb"] < MOST_PEAK_MB:
            if row["ratio"] > MOST_COLD:
                past[f"cold start {row['network']}"] = row["ratio"]
            if row["peak_mb"] > MOST_PEAK_MB:
                past[f"peak memory {row['network']}"] = row["peak_mb"]
    return past


def table(found: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [f"{found['cores']} cores; ratio of ours to the code by hand, with its 95 % interval", ""]
    for row in found["predict"]:
        parts, usual = row["phases_ms"], row["against_defaults"]
        lines += [
            f"predict {row['network']:<20}{row['input']:<7}{_ratio(row)}  {_both(row, 'ms')}",
            f"  {row['dominates']} dominates: prepare {parts['prepare']:.2f}, run {parts['run']:.2f}, "
            f"finish {parts['finish']:.3f} ms; by hand with ONNX Runtime's own options: {usual['ratio']:.2f}",
        ]
    for row in found["cold_start"]:
        peaks = f"peak {row['peak_mb']:.0f} / {row['minimal_peak_mb']:.0f} MB"
        lines.append(f"cold start {row['network']:<24}{_ratio(row)}  {_both(row, 's')}  {peaks}")
    return "\n".join(lines)


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.3f} ({row['low']:.3f}–{row['high']:.3f})"


def _both(row: dict[str, Any], unit: str) -> str:
    return f"{row['ours']:.3f} / {row['theirs']:.3f} {unit}"


def _peak(starts: Sequence[Start]) -> float:
    return max(start.peak_mb for start in starts)


def _numbers(path: Path) -> list[str]:
    """What the minimal script has to be told: sizes and channels."""
    from sdk import read_artifact

    image = read_artifact(path).spec.input
    sample = image.load(Image.new("RGB", PICTURE_WH))
    place = sample.geometry
    width, height = (
        round(place[side] * place[f"scale_{axis}"]) for side, axis in (("width", "x"), ("height", "y"))
    )
    side = image.size_wh[0]  # type: ignore[attr-defined]
    left, top = -place["offset_x"], -place["offset_y"]
    channels = image.channel_count  # type: ignore[attr-defined]
    return [f"{number:.0f}" for number in (width, height, left, top, side, channels)]


def _photo(given: Path | None) -> Path:
    if given is not None:
        return given
    data = Path(os.environ.get("EDGEWRIGHT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    found = sorted((data / "photos").glob("*")) if data.is_dir() else []
    if not found:
        raise UsageError("Option --photo", got="none", expected="a photo", fix="Name any picture file.")
    return found[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demos.lean_predictor", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--photo", type=Path, metavar="FILE", help="any picture; it is scaled to 1280×720")
    parser.add_argument("--networks", nargs="*", default=NETWORKS, metavar="NAME", help="default: two")
    parser.add_argument("--artifacts", nargs="*", type=Path, default=(), metavar="FILE",
                        help="further .onnx artifacts to start cold")  # fmt: skip
    parser.add_argument("--jpeg-scaling", choices=("full", "reduced"), default="full")
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        metavar="N",
        help="a round is 15 pairs and one block of each; default: 20",
    )
    parser.add_argument("--launches", type=int, default=15, metavar="N", help="fresh processes of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

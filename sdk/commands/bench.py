"""Measure how fast artifacts are on this machine, with intervals.

Predicts on real inputs (the artifact's golden samples, or --data) until there are enough predictions for a
p99, several artifacts in turns. Also starts fresh processes for cold start and memory, dissects predictions
into phases, and watches the processor's clock: a run whose clock fell is void, and the exit code 1.

Examples:
  edgewright bench product.onnx
  edgewright bench product.onnx product_int8.onnx product.pte --html bench.html
  edgewright bench product.onnx --data photos/ --seconds 20 --json bench.json
  edgewright bench product.onnx --scenario offline --batch 8
  edgewright bench product.onnx --scenario server --rate 200
  edgewright bench product.onnx --layers --launches 0

Figures of two calls should not be compared by eye: `edgewright compare` tells whether one is slower.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.commands.runtime_options import add_runtime_options, runtime_options

if TYPE_CHECKING:
    from sdk.bench import BenchOptions

SCENARIOS = ("single-stream", "offline", "server")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "artifacts", metavar="ARTIFACT", nargs="+", help="files written by train, export or build"
    )
    parser.add_argument(
        "--scenario",
        choices=SCENARIOS,
        default="single-stream",
        help="one prediction after the other (default); batches; or arrivals at random, waiting included",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        help="real inputs instead of the golden samples: a file, a folder, a .npy array; may be repeated",
    )
    parser.add_argument(
        "--rate", type=float, metavar="R", help="server: arrivals per second, such as half of single-stream's"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="offline: items per call")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="server: threads that predict (1)"
    )
    _configure_time(parser.add_argument_group("how long"))
    _configure_output(parser.add_argument_group("what to write"))
    add_runtime_options(parser)


def _configure_time(time: argparse._ArgumentGroup) -> None:
    time.add_argument(
        "--seconds", type=float, default=6.0, metavar="S", help="timed seconds per artifact, at least (6)"
    )
    time.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help="timed seconds per artifact, at most: beyond --seconds only until a p99 can be quoted (20)",
    )
    time.add_argument(
        "--launches", type=int, default=5, metavar="N", help="fresh processes for cold start; 0 for none (5)"
    )
    time.add_argument("--seed", type=int, default=0, metavar="N", help="of turns and arrivals (0)")


def _configure_output(out: argparse._ArgumentGroup) -> None:
    out.add_argument("--layers", action="store_true", help="the engine's own profile, layer by layer")
    out.add_argument("--json", metavar="FILE", help="everything; - for standard output instead of the tables")
    out.add_argument("--markdown", type=Path, metavar="FILE", help="the tables, for a pull request")
    out.add_argument("--html", type=Path, metavar="FILE", help="one page with charts that needs nothing else")
    out.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    from sdk.atomic_write import atomic_write
    from sdk.bench import benchmark
    from sdk.bench.inputs import items_from
    from sdk.bench.text import as_markdown, as_text

    options = _options(args)
    _require_folders([Path(path) for path in (args.json, args.markdown, args.html) if path and path != "-"])
    items = items_from(args.data) if args.data else None
    inputs = f"{len(items)} from {', '.join(Path(path).name for path in args.data)}" if items else None
    progress = _Progress(shown=not args.quiet)
    try:
        report = benchmark(
            args.artifacts,
            options,
            items=items,
            inputs=inputs,
            runtime_options=runtime_options(args),
            progress=progress.say,
        )
    finally:
        progress.end()
    if args.json and args.json != "-":
        atomic_write(Path(args.json), report.dumps())
    if args.markdown:
        atomic_write(args.markdown, as_markdown(report))
    if args.html:
        from sdk.bench.page import as_html

        atomic_write(args.html, as_html(report))
    # Last: a reader of our output that goes away early must not cost the files.
    print(report.dumps().rstrip() if args.json == "-" else as_text(report))
    return 0 if report.holds else 1


def _options(args: argparse.Namespace) -> BenchOptions:
    from sdk.bench import BenchOptions

    longest = args.max_seconds
    return BenchOptions(
        scenario=args.scenario,
        seconds=args.seconds,
        max_seconds=max(BenchOptions.max_seconds, args.seconds) if longest is None else longest,
        rate=args.rate,
        batch=args.batch,
        workers=args.workers,
        launches=args.launches,
        layers=args.layers,
        seed=args.seed,
    )


def _require_folders(targets: list[Path]) -> None:
    """Before anything is measured: a minute's figures must not be lost to a typing error."""
    from runtimes import UsageError

    for target in targets:
        if not target.parent.is_dir():
            raise UsageError(
                f"Output {target.name!r}",
                got=f"no folder {str(target.parent)!r}",
                expected="a folder that is there",
                fix="Make it first, or choose another.",
            )


class _Progress:
    """One line on standard error that is written over; on a pipe, a line whenever the work changes."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._live = sys.stderr.isatty()
        self._last = ""

    def say(self, text: str, share: float) -> None:
        """What is being done, and how much of it is."""
        if not self._shown:
            return
        if self._live:
            line = f"{100 * share:3.0f} %  {text}"
            print(f"\r{line:<{len(self._last)}}", end="", file=sys.stderr, flush=True)
            self._last = line
        elif (step := text.split(" ", maxsplit=1)[0]) != self._last:
            print(f"{step} …", file=sys.stderr, flush=True)
            self._last = step

    def end(self) -> None:
        """Leave a clean line behind."""
        if self._live and self._last:
            print(f"\r{'':<{len(self._last)}}\r", end="", file=sys.stderr, flush=True)

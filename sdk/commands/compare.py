"""Tell whether an artifact is slower than a baseline: a gate for CI that does not cry wolf.

Both are launched in fresh processes that take turns, round after round, until the interval of the ratio makes
it clear. Exit code 0: no regression; 1: a regression; 2: could not decide, or bad input. Latency of one
prediction leads; its median and tail, cold start, peak memory and file size have verdicts of their own.

The baseline is an artifact, a record of one made earlier on this class of machine, or a git revision.

Examples:
  edgewright compare released.onnx product.onnx
  edgewright compare released.onnx product.onnx --max-slowdown 1.10 --data photos/ --threads 2
  edgewright compare --record released.json released.onnx
  edgewright compare released.json product.onnx
  edgewright compare --baseline-ref main --build "make artifact" build/product.onnx
  edgewright compare released.onnx product.onnx --markdown comment.md --junit latency.xml --json latency.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import UsageError
from sdk.commands.runtime_options import add_runtime_options, runtime_options

if TYPE_CHECKING:
    from sdk.compare import Comparison, Contestant, Limits


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "files",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="BASELINE and CANDIDATE; CANDIDATE alone with --baseline-ref, the artifact alone with --record",
    )
    parser.add_argument(
        "--budget", type=float, default=60.0, metavar="SECONDS", help="longest time to measure (60)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="a pass needs every metric's, not the latency's alone"
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        action="append",
        help="real inputs instead of the golden samples: a file or a folder; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    _add_baselines(parser.add_argument_group("other baselines"))
    _add_limits(parser.add_argument_group("limits: candidate over baseline, above which it is a regression"))
    _add_outputs(parser.add_argument_group("what to write"))
    add_runtime_options(parser)


def _add_baselines(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--baseline-ref", metavar="REF", help="git revision to take the baseline from")
    group.add_argument(
        "--build", metavar="COMMAND", help="with --baseline-ref: makes the artifact in that revision"
    )
    group.add_argument("--record", type=Path, metavar="FILE", help="measure one artifact and keep the record")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    for option, default, what in (
        ("--max-slowdown", 1.05, "latency of one prediction, and its median"),
        ("--max-tail", 1.25, "90th percentile"),
        ("--max-cold-start", 1.25, "process start to first result"),
        ("--max-memory", 1.10, "peak resident memory"),
        ("--max-size", 1.10, "size of the file"),
    ):
        group.add_argument(option, type=float, metavar="RATIO", default=default, help=f"{what} ({default})")


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="the comparison as JSON; - prints it")
    group.add_argument("--markdown", type=Path, metavar="FILE", help="a comment for a pull request")
    group.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML")


def run(args: argparse.Namespace) -> int:
    """Record, or compare and report."""
    _require_files(args)
    if args.record:
        return _record(args)
    comparison = _compare(args)
    _write(args, comparison)
    return comparison.exit_code


def _require_files(args: argparse.Namespace) -> None:
    alone = [name for name in ("record", "baseline_ref") if getattr(args, name)]
    if len(alone) > 1 or (args.build and not args.baseline_ref):
        raise UsageError(
            "Options",
            got="--record with --baseline-ref" if len(alone) > 1 else "--build without --baseline-ref",
            expected="one kind of baseline",
            fix="See the examples of `edgewright compare --help`.",
        )
    wanted = 1 if alone else 2
    if len(args.files) != wanted:
        raise UsageError(
            "Files",
            got=f"{len(args.files)}",
            expected="the artifact alone" if alone else "BASELINE and CANDIDATE",
            fix="See the examples of `edgewright compare --help`.",
        )
    if args.budget <= 0:
        raise UsageError(
            "Option --budget", got=f"{args.budget}", expected="seconds above 0", fix="Leave it out for 60."
        )


def _compare(args: argparse.Namespace) -> Comparison:
    from sdk.compare import compare
    from sdk.compare.recording import compare_with_recording, read_recording
    from sdk.compare.revision import revision_of

    candidate, progress = _contestant(args, args.files[-1]), _progress(args)
    settings = {"budget_s": args.budget, "progress": progress}
    if args.baseline_ref:
        with revision_of(candidate, args.baseline_ref, args.build) as baseline:
            found = compare(baseline, candidate, _limits(args), **settings)
    elif args.files[0].suffix.lower() == ".json":
        found = compare_with_recording(read_recording(args.files[0]), candidate, _limits(args), **settings)
    else:
        found = compare(_contestant(args, args.files[0]), candidate, _limits(args), **settings)
    progress("")
    return found.strictly() if args.strict else found


def _record(args: argparse.Namespace) -> int:
    from sdk.atomic_write import atomic_write
    from sdk.compare.recording import record

    progress = _progress(args)
    recording = record(_contestant(args, args.files[0]), progress=progress)
    progress("")
    atomic_write(args.record, recording.dumps())
    print(f"{args.record}: {len(recording.launches)} launches of {recording.artifact} on {recording.machine}")
    return 0


def _contestant(args: argparse.Namespace, path: Path) -> Contestant:
    from sdk.compare import Contestant
    from sdk.input_files import files_in

    items = tuple(files_in(args.data)) if args.data else ()
    return Contestant(path, items, runtime_options(args))


def _limits(args: argparse.Namespace) -> Limits:
    from sdk.compare import Limits

    return Limits(args.max_slowdown, args.max_tail, args.max_cold_start, args.max_memory, args.max_size)


def _progress(args: argparse.Namespace) -> Callable[[str], None]:
    """One line that is written over and over on a terminal; nothing where nobody looks."""

    def show(text: str) -> None:
        if not args.quiet and sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    return show


def _write(args: argparse.Namespace, comparison: Comparison) -> None:
    from sdk.atomic_write import atomic_write
    from sdk.compare.report import as_junit, as_markdown, as_text

    said = json.dumps(comparison.to_dict(), indent=2) + "\n"
    to_stdout = args.json == Path("-")
    print(said if to_stdout else as_text(comparison), end="" if to_stdout else "\n")
    for path, text in (
        (None if to_stdout else args.json, said),
        (args.markdown, as_markdown(comparison)),
        (args.junit, as_junit(comparison)),
    ):
        if path:
            atomic_write(path, text)

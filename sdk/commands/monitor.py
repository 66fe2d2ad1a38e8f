"""Look into a prediction log: drift, and how two versions compare.

`edgewright serve --log LOG` writes the log. `drift` compares the newest predictions of an artifact with what
it was proved on: exit code 0 means no drift, 1 drift, 2 too few predictions or bad input. `split` compares
two versions of a model that shared its clients, or of which one ran in the shadow of the other. `remember`
takes logged predictions as what drift is measured from, for artifacts that export did not prove.

Examples:
  edgewright monitor drift predictions.db product.onnx --out drift.html
  edgewright monitor drift postgresql+psycopg://user@host/db product.onnx --window 2000 --json -
  edgewright monitor drift predictions.db product.onnx --on-drift "python retrain.py"
  edgewright monitor split predictions.db --model product
  edgewright monitor remember predictions.db adopted.onnx --out watched.onnx
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import UsageError
from runtimes.errors import first_line

if TYPE_CHECKING:
    from sdk.monitor.drift import DriftReport, Limits
    from sdk.monitor.hook import Alarm, Hook
    from sdk.monitor.log_reading import Logged
    from sdk.monitor.reference import Reference

_COURSE_PARTS = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="drift|split|remember")
    drift = actions.add_parser("drift", help="inputs and answers against what the artifact was proved on")
    drift.add_argument("log", metavar="LOG", help="file, or SQLAlchemy URL, that serve --log wrote")
    drift.add_argument("artifact", metavar="ARTIFACT", help="that made the predictions")
    drift.add_argument("--model", metavar="NAME", help="its name in the log; default: all that ran it")
    drift.add_argument("--window", metavar="N", type=int, default=1000, help="newest predictions (1000)")
    drift.add_argument(
        "--any-version", action="store_true", help="take the predictions of other versions too"
    )
    limits = drift.add_argument_group("what counts as drift; see docs/monitoring.md")
    limits.add_argument("--psi", type=float, default=0.2, metavar="INDEX", help="stability index (0.2)")
    limits.add_argument(
        "--significance", type=float, default=0.01, metavar="P", help="of all features together (0.01)"
    )
    limits.add_argument("--min-rows", type=int, default=200, metavar="N", help="fewer decide nothing (200)")
    drift.add_argument("--on-drift", metavar="HOOK", help="command or http(s) address, once per crossing")
    drift.add_argument("--out", type=Path, metavar="FILE", help="an HTML page")
    drift.add_argument("--json", type=Path, metavar="FILE", help="the report as JSON; - prints it")
    remember = actions.add_parser("remember", help="logged predictions as an artifact's reference")
    remember.add_argument("log", metavar="LOG", help="file, or SQLAlchemy URL, that serve --log wrote")
    remember.add_argument("artifact", metavar="ARTIFACT", help="that made the predictions")
    remember.add_argument("--out", type=Path, metavar="FILE", required=True, help="the artifact with it")
    remember.add_argument("--window", metavar="N", type=int, default=2000, help="newest predictions (2000)")
    split = actions.add_parser("split", help="two versions of a model against each other")
    split.add_argument("log", metavar="LOG", help="file, or SQLAlchemy URL, that serve --log wrote")
    split.add_argument("--model", metavar="NAME", help="its name in the log; default: the only one there")
    split.add_argument("--json", type=Path, metavar="FILE", help="the report as JSON; - prints it")


def run(args: argparse.Namespace) -> int:
    """Read the log and report."""
    return {"drift": _drift, "split": _split, "remember": _remember}[args.action](args)


def _drift(args: argparse.Namespace) -> int:
    from sdk.artifact import read_artifact
    from sdk.monitor.drift import DRIFT, STABLE, Limits
    from sdk.monitor.hook import Alarm, Hook
    from sdk.monitor.log_reading import read_log
    from sdk.monitor.log_tables import open_tables
    from sdk.monitor.watch import report_of

    limits = Limits(args.psi, args.significance, args.min_rows)
    if args.window < limits.fewest:
        raise UsageError("Option --window", got=str(args.window), expected=f"at least {limits.fewest}",
                         fix="Choose a larger one, or a smaller --min-rows.")  # fmt: skip
    hook = Hook(args.on_drift) if args.on_drift else None
    manifest = read_artifact(args.artifact).manifest
    reference = manifest.reference
    if reference is None:
        raise UsageError(
            f"Artifact {Path(args.artifact).name!r}",
            got="no reference to measure drift from",
            expected="one that `edgewright export` proved",
            fix="Export the checkpoint again, or see `edgewright monitor remember --help`.",
        )
    version = manifest.label
    tables = open_tables(args.log, create=hook is not None)
    try:
        rows = read_log(tables, args.model, None if args.any_version else version, last=args.window)
        report = report_of(rows, reference, limits, args.model or manifest.spec.name, version)
        if hook is not None:
            _raise_alarm(Alarm(tables, hook), hook, report)
    finally:
        tables.engine.dispose()
    _tell(args, report, reference, rows, limits)
    return {STABLE: 0, DRIFT: 1}.get(report.status, 2)


def _raise_alarm(alarm: Alarm, hook: Hook, report: DriftReport) -> None:
    """Fire the hook where drift has begun, and wait for a command that it starts."""
    try:
        alarm.see(report)
    except OSError as error:
        raise UsageError(
            "Option --on-drift",
            got=f"a hook that fails ({first_line(error)})",
            expected="success",
            fix="Run it again: the alarm is still to be raised.",
        ) from error
    hook.wait()


def _tell(
    args: argparse.Namespace, report: DriftReport, reference: Reference, rows: list[Logged], limits: Limits
) -> None:
    from sdk.atomic_write import atomic_write
    from sdk.monitor.drift_page import drift_page
    from sdk.monitor.watch import report_of

    said = json.dumps(report.to_dict(), indent=2) + "\n"
    to_stdout = args.json == Path("-")
    print(said if to_stdout else _as_text(report), end="" if to_stdout else "\n")
    if args.json and not to_stdout:
        atomic_write(args.json, said)
    if args.out:
        size = max(limits.fewest // 2, -(-len(rows) // _COURSE_PARTS), 1)
        parts = [rows[at : at + size] for at in range(0, len(rows) - size + 1, size)]
        course = [report_of(part, reference, limits, report.model, report.version) for part in parts]
        page = drift_page(report, reference, [row.features for row in rows], course)
        atomic_write(args.out, page)


def _as_text(report: DriftReport) -> str:
    from sdk.monitor.statistics import p_words

    lines = [f"{report.model}, version {report.version}: {report.summary()}"]
    for feature in report.features:
        mark = "drift" if feature.drifted else ""
        sure = p_words(feature.p_value)
        lines.append(f"  {feature.name:<32}PSI {feature.psi:6.3f}   p {sure:<8}   {mark}".rstrip())
    return "\n".join(lines)


def _split(args: argparse.Namespace) -> int:
    from sdk.monitor.log_tables import open_tables
    from sdk.monitor.split import as_text, compare_versions

    tables = open_tables(args.log, create=False)
    try:
        found = compare_versions(tables, args.model)
    finally:
        tables.engine.dispose()
    from sdk.atomic_write import atomic_write

    said = json.dumps(found.to_dict(), indent=2) + "\n"
    to_stdout = args.json == Path("-")
    print(said if to_stdout else as_text(found), end="" if to_stdout else "\n")
    if args.json and not to_stdout:
        atomic_write(args.json, said)
    return 0


def _remember(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from sdk.artifact import read_artifact, write_artifact
    from sdk.monitor.drift import FEWEST_ROWS
    from sdk.monitor.log_reading import read_log
    from sdk.monitor.log_tables import open_tables
    from sdk.monitor.reference import Reference

    artifact = read_artifact(args.artifact)
    tables = open_tables(args.log, create=False)
    try:
        rows = read_log(tables, None, artifact.manifest.label, last=args.window)
    finally:
        tables.engine.dispose()
    reference = Reference.of([row.features for row in rows], "logged")
    if len(rows) < FEWEST_ROWS or reference is None:
        raise UsageError("Log", got=f"{len(rows)} predictions of {artifact.path.name!r}",
                         expected=f"at least {FEWEST_ROWS}", fix="Let it answer more first.")  # fmt: skip
    write_artifact(args.out, artifact.payload, replace(artifact.manifest, reference=reference))
    print(f"{args.out}: remembers {len(rows):,} predictions of version {artifact.manifest.label}")
    return 0

"""Cross-validation: one ordinary run for each fold, in folders of their own, and what they say together."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtimes import DataError, UsageError
from sdk.artifact import Artifact, Metric, read_artifact
from sdk.artifact.evidence import in_words
from sdk.atomic_write import atomic_write
from sdk.codec import from_json
from train.distributed import World
from train.loop import Say, Watch, train
from train.options import TrainOptions
from train.run_folder import RECORD_VERSION, RunFolder, read_record, require_same_options
from train.tasks import get_task, task_of

RECORD = "folds.json"
_LOSS = "val_loss"

Begin = Callable[[int], Watch | None]
"""Called with a fold's number before its run; gives who watches its epochs."""


@dataclass(frozen=True)
class FoldResult:
    """One finished fold.

    Attributes:
        fold: Its number, from 1.
        checkpoint: What its run wrote.
        best_epoch: Whose weights that holds, from 1.
        held_out: Figures of that epoch on what the fold holds out, by metric, the headline first. The
            headline chose the epoch.
        proof: What the checkpoint scores in the end: on the test split, or where there is none, held out.
    """

    fold: int
    checkpoint: Path
    best_epoch: int
    held_out: dict[str, float]
    proof: tuple[Metric, ...]


@dataclass(frozen=True)
class Spread:
    """One metric over all folds.

    Attributes:
        name: Of the metric.
        split: ``val`` for what the folds hold out, or ``test``.
        unit: As in `sdk.artifact.Metric`.
        mean: Over the folds.
        deviation: Standard deviation of a fold (with one degree of freedom taken off); 0 of a single one.
    """

    name: str
    split: str
    unit: str
    mean: float
    deviation: float

    @property
    def text(self) -> str:
        """For people, such as ``92.10% ± 0.45%``."""
        return f"{in_words(self.mean, self.unit)} ± {in_words(self.deviation, self.unit)}"


@dataclass(frozen=True)
class CrossValidation:
    """All folds of one set of options.

    Attributes:
        out: The folder, with a run folder ``fold-1``, ``fold-2`` … for each.
        folds: In their order.
        spreads: What they say together: held out, the headline first, then on the test split.
    """

    out: Path
    folds: tuple[FoldResult, ...]
    spreads: tuple[Spread, ...]


def cross_validate(
    options: TrainOptions,
    say: Say | None = None,
    *,
    bar: bool = True,
    begin: Begin | None = None,
    finish: Callable[[FoldResult], None] | None = None,
) -> CrossValidation:
    """Train once for each fold, and write ``folds.json``.

    With ``resume``, finished folds are kept, the interrupted one is continued, and the others follow.

    Args:
        options: With `TrainOptions.folds`.
        say: Takes lines for a person; None trains silently.
        bar: As for `train.loop.train`.
        begin: Called before each run.
        finish: Called after each fold, those that an earlier call has finished included; may raise to end it.

    Raises:
        UsageError: The folder holds something else, or an earlier cross-validation that --resume and
            --overwrite do not speak of; or the run is part of a group that torchrun started.
        DataError: The data cannot be divided, or is another than when it was begun.
    """
    count = options.folds
    assert count is not None
    if World.of_environment().size > 1:
        raise UsageError("Option --folds", got="it under torchrun", expected="a single process",
                         fix="Say --devices N in place of torchrun.")  # fmt: skip
    _make_ready(options)
    done: list[FoldResult] = []
    for number in range(1, count + 1):
        one = _options_of(options, number)
        found = _finished(one) if options.resume else None
        if found is None:
            if say is not None:
                say(f"fold {number} of {count}")
            train(one, say, bar=bar, watch=None if begin is None else begin(number))
            found = _finished(one)
            assert found is not None
        elif say is not None:
            say(f"fold {number} of {count} is finished")
        done.append(found)
        _write_record(options, done)
        if finish is not None:
            finish(found)
    return CrossValidation(options.out, tuple(done), spreads_of(done))


def spreads_of(folds: Sequence[FoldResult]) -> tuple[Spread, ...]:
    """Mean and standard deviation of every metric that all folds have."""
    units = {metric.name: metric.unit for metric in folds[0].proof}
    found = []
    for name in folds[0].held_out:
        values = [one.held_out.get(name, math.nan) for one in folds]
        found.append(_spread(name, "val", units.get(name, ""), values))
    for metric in folds[0].proof:
        if metric.split == "val":
            continue
        values = [next((m.value for m in one.proof if m.name == metric.name), math.nan) for one in folds]
        found.append(_spread(metric.name, metric.split, metric.unit, values))
    return tuple(spread for spread in found if not math.isnan(spread.mean))


def _spread(name: str, split: str, unit: str, values: Sequence[float]) -> Spread:
    deviation = statistics.stdev(values) if len(values) > 1 and not any(map(math.isnan, values)) else 0.0
    return Spread(name, split, unit, sum(values) / len(values), deviation)


def _options_of(options: TrainOptions, number: int) -> TrainOptions:
    """Of one fold's run: resumed where it was begun, fresh where it was not."""
    out = options.out / f"fold-{number}"
    begun = options.resume and RunFolder(out).record.is_file()
    return replace(options, fold=number, out=out, resume=begun, overwrite=False)


def _make_ready(options: TrainOptions) -> None:
    """The folder, empty or that of the cross-validation to go on with."""
    out, record = options.out, options.out / RECORD
    if out.exists() and not out.is_dir():
        raise UsageError(f"Option --out {out.name!r}", got="a file", expected="a folder",
                         fix="Choose another --out.")  # fmt: skip
    there = record.is_file()
    if not there and out.is_dir() and any(out.iterdir()):
        raise UsageError(
            f"Option --out {out.name!r}",
            got="a folder with other things in it",
            expected="a new or empty folder, or that of a cross-validation",
            fix="Choose another --out.",
        )
    if there and not (options.resume or options.overwrite):
        raise UsageError(
            f"Option --out {out.name!r}",
            got="the folder of an earlier cross-validation",
            expected="a new or empty folder",
            fix="Say --resume to continue it, --overwrite to replace it, or choose another --out.",
        )
    if options.resume:
        recorded = read_record(record, "cross-validation")["options"]
        require_same_options(options, recorded, "cross-validation")
        return
    for folder in out.glob("fold-*"):
        if RunFolder(folder).record.is_file():
            shutil.rmtree(folder)
    _write_record(options, [])


def _finished(options: TrainOptions) -> FoldResult | None:
    """What an earlier run of the fold has left; None where it did not end."""
    folder = RunFolder(options.out)
    artifacts = sorted(options.out.glob("*.safetensors"))
    if not artifacts or not folder.metrics.is_file():
        return None
    task = get_task(options.task)
    if options.resume:
        _require_same_data(read_artifact(artifacts[0]), options)
    told = json.loads(folder.metrics.read_text("utf-8"))
    epoch = int(told["best_epoch"])
    figures = told["history"][epoch - 1]
    held = {name.removeprefix("val_"): value for name, value in figures.items() if name.startswith("val_")}
    held.pop(_LOSS.removeprefix("val_"), None)
    headline = {task.metric: held.pop(task.metric)}
    proof = tuple(from_json(Metric, metric, folder.metrics.name) for metric in told["metrics"])
    assert options.fold is not None
    return FoldResult(options.fold, artifacts[0], epoch, {**headline, **held}, proof)


def _require_same_data(finished: Artifact, options: TrainOptions) -> None:
    recorded = finished.manifest.evidence.facts.get("data_sha256", {}).get("val")
    if task_of(finished).load_split(options.data, "val", finished.spec).sha256 != recorded:
        raise DataError(
            f"Data {options.data.name!r}",
            got="other contents than when the cross-validation was started",
            expected="the same data",
            fix="Restore the data, or start anew with --overwrite.",
        )


def _write_record(options: TrainOptions, done: Sequence[FoldResult]) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    tree: dict[str, Any] = {
        "version": RECORD_VERSION,
        "task": options.task,
        "folds": options.folds,
        "options": options.to_json(),
        "results": [
            {
                "fold": one.fold,
                "checkpoint": one.checkpoint.relative_to(options.out).as_posix(),
                "best_epoch": one.best_epoch,
                "held_out": one.held_out,
                "proof": {metric.name: metric.value for metric in one.proof if metric.split != "val"},
            }
            for one in done
        ],
        "summary": [
            {"metric": s.name, "split": s.split, "unit": s.unit, "mean": s.mean, "deviation": s.deviation}
            for s in (spreads_of(done) if done else ())
        ],
    }
    atomic_write(options.out / RECORD, json.dumps(tree, indent=2))

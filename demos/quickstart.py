"""The whole line in one go: train, export, prove, time, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demos.environment import describe_environment
from demos.report import Findings, write_report
from demos.summary import Row, summarise
from export.lowering import FP32, INT8, lowering_for
from export.pipeline import Exported, export_artifacts
from export.progress import progress_bars
from export.prove import Progress
from export.recipe import Recipe
from runtimes import EngineMissingError
from sdk import Predictor
from sdk.artifact import read_artifact
from sdk.atomic_write import atomic_write
from sdk.bench import BenchOptions, BenchReport, benchmark
from sdk.bench.page import as_html
from sdk.results import Classification
from train.loop import train
from train.options import make_options
from train.tasks import get_task
from train.tasks.base import Split

BUNDLED = Path(__file__).parent / "data" / "fashion_mnist_sample"
BUNDLED_NOTE = (
    "Data: a sample of Fashion-MNIST, 6,000 training and 1,000 test pictures. © 2017 Zalando SE, MIT licence."
)
TASK = "product"
TARGETS = ("onnx", "pte", "trt")
QUANTISED_TARGETS = ("onnx", "pte")
PRUNED_SHARE, RECOVERY_EPOCHS = 0.3, 8
# A thousand test pictures tell two accuracies apart to about two points.
SAMPLE_MAX_DROP = 2.0
# A tenth of the full set, few epochs: smaller steps than the task's own reach one to two points more.
BATCH_SIZE, LEARNING_RATE = 64, 4e-3
TIMED_PICTURES, TIMED_SECONDS = 50, 1.5


@dataclass(frozen=True)
class Quickstart:
    """What to do.

    Attributes:
        out: Folder for everything that is written.
        data: Data of task ``product``; None for the bundled sample.
        epochs: Passes over the training data; None for the task's default.
        seed: Of everything that draws.
    """

    out: Path
    data: Path | None
    epochs: int | None
    seed: int


def run_quickstart(options: Quickstart) -> list[Row]:
    """Train, export, compress, prove, time, and write the report.

    Returns:
        A row per artifact, the checkpoint first.

    Raises:
        DataError: The data cannot be trained on.
        ProofError: An artifact is past its budget.
    """
    begin = time.perf_counter()
    data = options.data or BUNDLED
    chosen = make_options(
        TASK,
        data,
        options.out,
        epochs=options.epochs,
        seed=options.seed,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
        overwrite=True,
    )
    trained = train(chosen, say=print)
    checkpoint = trained.checkpoint
    train_seconds = time.perf_counter() - begin
    with progress_bars() as progress:
        done = _export_all(checkpoint, data, progress)
    paths = [checkpoint, *(exported.path for exported in done)]
    split = _test_split(data, done[0].path)
    results = _predict(done[0].path, split)
    _save_sample(options.out / "sample.png", split, results, done[0].path)
    print("timing single predictions", flush=True)
    timed = _time(paths, split, options)
    rows = summarise(paths, timed.runs)
    findings = Findings(
        rows=rows,
        results=results,
        truths=[int(target) for target in split.targets],
        history=trained.history,
        spec=done[0].artifact.spec,
        shown_file=done[0].path.name,
        environment=describe_environment(),
        data_note=BUNDLED_NOTE if options.data is None else f"Data: {data}",
        train_seconds=train_seconds,
        total_seconds=time.perf_counter() - begin,
    )
    write_report(options.out / "report.html", findings)
    return rows


def _export_all(checkpoint: Path, data: Path, progress: Progress) -> list[Exported]:
    """In fp32 for every runtime; in int8, and pruned and in int8, for those that run here."""
    targets = _targets()
    quantised = [target for target in QUANTISED_TARGETS if target in targets]
    common: dict[str, Any] = {"data": data, "overwrite": True, "progress": progress}
    int8 = {**common, "recipe": Recipe(INT8), "mixed": True, "max_drop": SAMPLE_MAX_DROP}
    return [
        *export_artifacts(checkpoint, targets, **common),
        *export_artifacts(checkpoint, quantised, **int8),
        *export_artifacts(checkpoint, quantised, prune=PRUNED_SHARE, recovery_epochs=RECOVERY_EPOCHS, **int8),
    ]


def _targets() -> list[str]:
    """What this machine has a compiler for; the others are named, not passed over."""
    found = []
    for target in TARGETS:
        try:
            lowering_for(target).check(FP32)
        except EngineMissingError as error:
            print(f"no .{target}: {error}", flush=True)
        else:
            found.append(target)
    return found


def _test_split(data: Path, artifact: Path) -> Split:
    task = get_task(TASK)
    return task.load_split(data, task.proof_split(data), read_artifact(artifact).spec)


def _predict(artifact: Path, split: Split) -> list[Classification]:
    with Predictor(artifact) as predictor:
        results: list[Classification] = predictor.predict(list(split.items))
    return results


def _save_sample(path: Path, split: Split, results: Sequence[Classification], artifact: Path) -> None:
    """The first test picture that is answered rightly, as a file to try things on."""
    answers = zip(results, split.targets, strict=True)
    first = next((i for i, (result, target) in enumerate(answers) if result.index == int(target)), 0)
    spec = read_artifact(artifact).spec
    atomic_write(path, spec.input.encode(results[first].source))


def _time(paths: Sequence[Path], split: Split, options: Quickstart) -> BenchReport:
    """Without fresh processes, which `edgewright bench` starts: importing torch in each takes a while."""
    chosen = BenchOptions(seconds=TIMED_SECONDS, launches=0, seed=options.seed)
    pictures = list(split.items[:TIMED_PICTURES])
    report = benchmark(paths, chosen, items=pictures, inputs=f"{len(pictures)} test pictures")
    atomic_write(options.out / "bench.json", report.dumps())
    atomic_write(options.out / "bench.html", as_html(report))
    return report

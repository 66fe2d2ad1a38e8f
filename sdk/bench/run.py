"""Runs benchmarks: artifacts take turns, the clock is watched, and what was found becomes a report."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtimes import EdgewrightError, EngineError, UsageError
from sdk.artifact import Artifact, read_artifact
from sdk.artifact.provenance import now_utc, versions_of
from sdk.bench.cold_start import measure_cold_start
from sdk.bench.contender import PHASE_SHARE, Contender, not_run
from sdk.bench.figures import ColdStart
from sdk.bench.inputs import golden_items
from sdk.bench.options import OFFLINE, BenchOptions
from sdk.bench.record import BENCH_FORMAT, BENCH_VERSION, BenchReport, BenchRun
from sdk.machine import read_machine
from sdk.machine.clocks import ClockVerdict, ClockWatch
from sdk.machine.energy import EnergyReader, open_energy_reader
from sdk.predictor import Predictor

TURN_WARM_UP_S = 0.1
"""Each block begins with so much untimed: ONNX Runtime's threads go on spinning for 70 ms after their last
run and keep a core from the next engine, which then takes up to twice its time."""
IDLE_S = 2.0
PACKAGES = (
    "edgewright",
    "numpy",
    "pillow",
    "onnxruntime",
    "executorch",
    "torch",
    "tensorrt",
    "tensorrt-rtx-cu13",
)
GOLDEN = "golden samples of each artifact"

Cold = tuple[ColdStart | None, str | None]
"""A cold start, or why there is none."""
Progress = Callable[[str, float], None]
"""Called with what is being done and how much of it is, from 0 to 1."""


def benchmark(
    paths: Sequence[str | os.PathLike[str]],
    options: BenchOptions | None = None,
    *,
    items: Sequence[Any] | None = None,
    inputs: str | None = None,
    runtime_options: Mapping[str, Any] | None = None,
    progress: Progress = lambda *_: None,
) -> BenchReport:
    """Measure artifacts against each other in one run.

    Args:
        paths: Artifact files.
        options: What to measure; None for the defaults.
        items: Real inputs for all of them; None: each one's golden samples.
        inputs: What `items` are, in words, for the report.
        runtime_options: Of `Predictor`, such as ``threads``; for all of them.
        progress: Told what is going on.

    Returns:
        A report with one run per artifact; those that this machine cannot run say why.

    Raises:
        ArtifactError: A file is not what it says.
        InputError: An input cannot be used, or there is none.
        UsageError: An option makes no sense.
    """
    options, engine_options = options or BenchOptions(), dict(runtime_options or {})
    artifacts = [read_artifact(path) for path in paths]
    if not artifacts:
        raise UsageError("Artifacts", got="none", expected="at least one", fix="Pass a file.")
    given = [list(items) if items is not None else golden_items(artifact) for artifact in artifacts]
    cold = _cold_starts(artifacts, given, options, engine_options, progress)
    runs = _measure_open(
        artifacts, given, cold, options=options, engine_options=engine_options, progress=progress
    )
    machine = read_machine()
    words = inputs or (GOLDEN if items is None else f"{len(items)} given items")
    return BenchReport(
        format=BENCH_FORMAT,
        version=BENCH_VERSION,
        created_utc=now_utc(),
        options=options,
        inputs=words,
        machine_class=machine.machine_class,
        machine=machine.to_dict(),
        versions=versions_of(PACKAGES),
        runs=tuple(replace(run, file=name) for run, name in zip(runs, _names(paths), strict=True)),
    )


def _measure_open(
    artifacts: Sequence[Artifact],
    items: Sequence[Sequence[Any]],
    cold: Sequence[Cold],
    *,
    options: BenchOptions,
    engine_options: Mapping[str, Any],
    progress: Progress,
) -> list[BenchRun]:
    """One run per artifact, in order; those whose engine is not here are told apart from the others."""
    found: dict[int, BenchRun] = {}
    contenders: dict[int, Contender] = {}
    with ExitStack() as stack:
        for index, artifact in enumerate(artifacts):
            try:
                predictor = Predictor(artifact.path, batch_size=options.batch, **engine_options)
            except EngineError as error:
                found[index] = not_run(artifact, options.scenario, str(error))
                continue
            contenders[index] = Contender(stack.enter_context(predictor), items[index], options)
            contenders[index].cold = cold[index]
        found.update(zip(contenders, measure(list(contenders.values()), options, progress), strict=True))
    return [found[index] for index in range(len(artifacts))]


def _names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """File names, or whole paths where names repeat: rows must be told apart."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else [os.fspath(path) for path in paths]


def benchmark_predictor(predictor: Predictor, items: Sequence[Any] | None, options: BenchOptions) -> BenchRun:
    """Measure one open predictor, without fresh processes.

    Args:
        predictor: Stays open.
        items: Real inputs; None: its golden samples.
        options: What to measure; its launches are not made.

    Raises:
        InputError: An input cannot be used, or there is none.
        UsageError: The predictor was opened for smaller batches than asked for.
    """
    if options.batch is not None and options.batch > predictor.batch_size:
        raise UsageError(
            "Option 'batch'",
            got=str(options.batch),
            expected=f"at most {predictor.batch_size}, this predictor's batch_size",
            fix=f"Open it with Predictor(…, batch_size={options.batch}).",
        )
    chosen = golden_items(predictor.artifact) if items is None else list(items)
    if not chosen:
        raise UsageError("Items", got="an empty list", expected="at least one item", fix="Pass some.")
    return measure([Contender(predictor, chosen, options)], options)[0]


def measure(
    contenders: Sequence[Contender], options: BenchOptions, progress: Progress = lambda *_: None
) -> list[BenchRun]:
    """Warm everyone up, take turns until all are done, and sum up.

    Args:
        contenders: Open artifacts.
        options: What to measure.
        progress: Told what is going on.
    """
    if not contenders:
        return []
    for contender in contenders:
        progress(f"warming up {contender.predictor.artifact.path.name}", 0.0)
        contender.warm_up()
    meter = open_energy_reader()
    idle_watts = _idle_watts(meter) if meter else 0.0
    with ClockWatch() as watch:
        _take_turns(contenders, options, meter, progress)
    clock: ClockVerdict = watch.verdict()
    if options.layers:
        for contender in contenders:
            progress(f"profiling {contender.predictor.artifact.path.name}", 1.0)
            contender.profile()
    energy = (meter.source, idle_watts) if meter else None
    return [contender.run(clock, energy) for contender in contenders]


def _take_turns(
    contenders: Sequence[Contender], options: BenchOptions, meter: EnergyReader | None, progress: Progress
) -> None:
    """Blocks in shuffled order, so that a busy moment of the machine falls on all."""
    order = random.Random(options.seed)
    while waiting := [contender for contender in contenders if not contender.done]:
        share = sum(min(1.0, c.seconds / options.seconds) for c in contenders) / len(contenders)
        for contender in order.sample(waiting, len(waiting)):
            progress(f"timing {contender.predictor.artifact.path.name}", share)
            _turn(contender, options, meter)


def _turn(contender: Contender, options: BenchOptions, meter: EnergyReader | None) -> None:
    warm = time.perf_counter() + TURN_WARM_UP_S
    while time.perf_counter() < warm:
        contender.scenario.call()
    length = min(contender.scenario.block_s, options.seconds)
    with meter or nullcontext():
        contender.blocks.append(contender.scenario.block(length))
        spent = meter.joules() if meter else 0.0
    contender.joules += spent
    contender.phases.block(PHASE_SHARE * length)


def _idle_watts(meter: EnergyReader) -> float:
    with meter:
        begin = time.perf_counter()
        time.sleep(IDLE_S)
        return meter.joules() / (time.perf_counter() - begin)


def _cold_starts(
    artifacts: Sequence[Artifact],
    items: Sequence[Sequence[Any]],
    options: BenchOptions,
    engine_options: Mapping[str, Any],
    progress: Progress,
) -> list[Cold]:
    """Before anything is open here, so that the fresh processes have the machine to themselves."""
    found: list[Cold] = []
    engine_options = {
        **engine_options,
        **({"batch_size": options.batch} if options.scenario == OFFLINE else {}),
    }
    for artifact, inputs in zip(artifacts, items, strict=True):
        if not options.launches:
            found.append((None, "not asked for"))
            continue

        def say(number: int, name: str = artifact.path.name) -> None:
            progress(f"starting {name}", number / options.launches)

        try:
            cold = measure_cold_start(artifact, inputs[0], engine_options, options.launches, say)
        except EdgewrightError as error:
            found.append((None, str(error)))
        else:
            found.append((cold, None))
    return found

"""One artifact on its way through a benchmark: what was measured so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from runtimes import EdgewrightError, entry_for
from runtimes.layer_times import LayerTime
from sdk.artifact import Artifact
from sdk.bench.figures import ColdStart, Energy, Latency
from sdk.bench.options import SERVER, BenchOptions
from sdk.bench.order_statistics import fewest_for
from sdk.bench.phases import PhaseClock
from sdk.bench.record import MEASURED, NOT_RUN, VOID, BenchRun, finite
from sdk.bench.scenarios import Block, open_scenario
from sdk.bench.warm_up import WarmUp, warm_up
from sdk.machine.clocks import ClockVerdict
from sdk.predictor import Predictor

PHASE_SHARE = 0.2
"""Of a block's time, spent after it on dissected predictions."""
PROFILED_RUNS = 20


class Contender:
    """An open artifact with its figures.

    Args:
        predictor: The open artifact; not closed here.
        items: Real inputs.
        options: What to measure.
    """

    def __init__(self, predictor: Predictor, items: Sequence[Any], options: BenchOptions) -> None:
        self.predictor = predictor
        self.options = options
        self.items = items
        self.scenario = open_scenario(predictor, items, options)
        size, single = self.scenario.batch, self.scenario.batch == 1 and options.batch is None
        batches = [[items[(i + k) % len(items)] for k in range(size)] for i in range(0, len(items), size)]
        self.phases = PhaseClock(predictor, batches, single=single)
        self.blocks: list[Block] = []
        self.joules = 0.0
        self.warmed: WarmUp | None = None
        self.cold: tuple[ColdStart | None, str | None] = (None, "not asked for")
        self.layers: tuple[tuple[LayerTime, ...] | None, str | None] = (None, "not asked for")

    @property
    def seconds(self) -> float:
        """Timed so far."""
        return sum(block.span_s for block in self.blocks)

    @property
    def done(self) -> bool:
        """Whether there was time enough, and calls enough for a p99 or no more time to wait for them."""
        calls = sum(len(block.durations_s) for block in self.blocks)
        enough = calls >= fewest_for(0.99) or self.seconds >= self.options.max_seconds
        return self.seconds >= self.options.seconds and enough

    def warm_up(self) -> None:
        """Predict until stable."""
        self.warmed = warm_up(self.scenario.call)

    def profile(self) -> None:
        """Ask the engine for its layers, on real inputs."""
        arrays, _ = self.predictor.prepare([self.items[0]])
        try:
            times = self.predictor.runtime.profile(arrays, PROFILED_RUNS)
        except EdgewrightError as error:
            self.layers = (None, str(error))
            return
        self.layers = (tuple(sorted(times, key=lambda layer: -layer.ms)), None)

    def run(self, clock: ClockVerdict, energy: tuple[str, float] | None) -> BenchRun:
        """Everything found, as it is stored.

        Args:
            clock: Of the time in which the blocks were measured.
            energy: The meter's name and the idle machine's watts; None without a meter.
        """
        items, span = sum(b.items for b in self.blocks), self.seconds
        given_up = sum(b.given_up for b in self.blocks)
        durations = np.concatenate([b.durations_s for b in self.blocks])
        reason = self._void(clock, items, given_up)
        common = described(self.predictor.artifact, self.options.scenario)
        return BenchRun(
            **common,
            status=VOID if reason else MEASURED,
            reason=reason,
            batch=self.scenario.batch,
            items=items,
            throughput_per_s=items / span,
            tokens_per_s=sum(b.tokens for b in self.blocks) / span if self.scenario.writes else None,
            given_up=given_up,
            latency=Latency.of(durations) if len(durations) else None,
            warm_up=self.warmed,
            phases=self.phases.result(),
            cold_start=self.cold[0],
            cold_start_note=self.cold[1],
            energy=self._energy(energy, items, span),
            clock=finite(asdict(clock)),
            runtime=finite(self.predictor.runtime.report()),
            layers=self.layers[0],
            layers_note=self.layers[1],
        )

    def _void(self, clock: ClockVerdict, items: int, given_up: int) -> str | None:
        if clock.throttled:
            return f"the clock fell: {clock.reason}"
        if self.options.scenario == SERVER:
            return self._outrun(items, given_up)
        return None

    def _outrun(self, items: int, given_up: int) -> str | None:
        """Whether answers take longer than arrivals leave for them: then there is no steady state to time."""
        rate, workers = self.options.rate or 0.0, self.options.workers
        most = workers * items / max(1e-9, sum(block.busy_s for block in self.blocks))
        if rate < most and not given_up:
            return None
        came = f"{rate:g} per second come, at most {most:.0f} can be answered"
        return f"arrivals outrun it: {came}, and the line only grows"

    def _energy(self, meter: tuple[str, float] | None, items: int, span: float) -> Energy | None:
        if meter is None or not items:
            return None
        source, idle_watts = meter
        net = max(0.0, self.joules - idle_watts * span)
        return Energy(source, self.joules / items, net / items, self.joules / span, idle_watts)


def described(artifact: Artifact, scenario: str) -> dict[str, Any]:
    """The fields of a `BenchRun` that the file itself tells."""
    evidence = artifact.manifest.evidence
    return {
        "file": artifact.path.name,
        "engine": entry_for(artifact.suffix).name,
        "sha256": artifact.manifest.payload_sha256,
        "size_bytes": artifact.size_bytes,
        "task": artifact.spec.task,
        "scenario": scenario,
        "accuracy": evidence.metrics[0] if evidence.metrics else None,
    }


def not_run(artifact: Artifact, scenario: str, reason: str) -> BenchRun:
    """The row of an artifact that this machine cannot run."""
    nothing: Mapping[str, Any] = dict.fromkeys(
        (
            "batch",
            "throughput_per_s",
            "tokens_per_s",
            "latency",
            "warm_up",
            "phases",
            "cold_start",
            "energy",
            "clock",
            "layers",
        )
    )
    return BenchRun(
        **described(artifact, scenario),
        **nothing,
        status=NOT_RUN,
        reason=reason,
        items=0,
        given_up=0,
        runtime={},
        cold_start_note="not run",
        layers_note="not run",
    )

"""Does our single-stream benchmark agree with MLPerf LoadGen? Both drive the same Predictor in one run.

    python -m demos.loadgen_agreement ARTIFACT [--data PATH] [--seconds N]

Needs the package mlcommons-loadgen. The two take turns prediction by prediction: LoadGen issues a query, and
once that is answered, before it may issue the next one, our own loop times one, so that what else the machine
does falls on both. LoadGen's percentiles are those of its own summary; ours are the benchmark's, by the same
rule. Beside them stand LoadGen's very own queries by our clock: that ratio has no chance in it. LoadGen calls
Python from C++ and counts that call too: some ten microseconds, which a model of half a millisecond shows.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import EdgewrightError, EngineMissingError
from sdk import Predictor
from sdk.bench import BenchOptions
from sdk.bench.figures import Latency
from sdk.bench.inputs import golden_items, items_from
from sdk.bench.scenarios import SingleStream
from sdk.bench.warm_up import warm_up

SECONDS = 30.0
FEWEST_QUERIES = 700
AGREED = 0.03
_ONE_S = 1e-9
"""A block of so many seconds holds exactly one prediction."""


@dataclass(frozen=True)
class Agreement:
    """Percentiles of both, in milliseconds.

    Attributes:
        count: Predictions of each.
        ours: Our single-stream run, taking turns with LoadGen's.
        same: LoadGen's own queries by our clock.
        loadgen_ms: p50 and p90 of LoadGen's summary.
    """

    count: int
    ours: Latency
    same: Latency
    loadgen_ms: tuple[float, float]

    @property
    def ratios(self) -> tuple[float, float]:
        """Our p50 and p90 by LoadGen's."""
        return self._ratios(self.ours)

    @property
    def ratios_of_the_same(self) -> tuple[float, float]:
        """The same for LoadGen's own queries."""
        return self._ratios(self.same)

    def _ratios(self, latency: Latency) -> tuple[float, float]:
        p50, p90 = percentiles_ms(latency)
        return p50 / self.loadgen_ms[0], p90 / self.loadgen_ms[1]


def percentiles_ms(latency: Latency) -> tuple[float, float]:
    """p50 and p90; there are always enough predictions for them here."""
    p50, p90 = latency.p50.value_ms, latency.p90.value_ms
    assert p50 is not None
    assert p90 is not None
    return p50, p90


def measure_agreement(
    artifact: Path, items: Sequence[Any] | None = None, *, seconds: float = SECONDS
) -> Agreement:
    """Let both measure in turns.

    Args:
        artifact: Which file.
        items: Real inputs; None: its golden samples.
        seconds: For both together, at least.

    Raises:
        EngineMissingError: LoadGen is not installed.
    """
    loadgen = _loadgen()
    with Predictor(artifact) as predictor:
        chosen = list(items) if items is not None else golden_items(predictor.artifact)
        ours, theirs = (SingleStream(predictor, chosen, BenchOptions()) for _ in range(2))
        warm_up(ours.call)
        durations: list[float] = []
        same: list[float] = []

        def issue(samples: list[Any]) -> None:
            for sample in samples:
                same.append(theirs.call())
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])
                durations.extend(ours.block(_ONE_S).durations_s)

        summary = _single_stream(loadgen, issue, len(chosen), seconds)
    theirs_ms = (_summary_ms(summary, "50.00"), _summary_ms(summary, "90.00"))
    return Agreement(
        len(durations), Latency.of(np.asarray(durations)), Latency.of(np.asarray(same)), theirs_ms
    )


def _single_stream(loadgen: Any, issue: Any, items: int, seconds: float) -> str:
    """Run LoadGen's single-stream scenario; its summary."""
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms, settings.min_query_count = round(1e3 * seconds), FEWEST_QUERIES
    system = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(items, items, lambda _: None, lambda _: None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            logs = loadgen.LogSettings()
            logs.enable_trace = False
            logs.log_output.outdir = folder
            logs.log_output.copy_summary_to_stdout = False
            loadgen.StartTestWithLogSettings(system, library, settings, logs)
            return (Path(folder) / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    finally:
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)


def _summary_ms(summary: str, percentile: str) -> float:
    line = rf"^{re.escape(percentile)} percentile latency \(ns\)\s*:\s*(\d+)"
    found = re.search(line, summary, re.MULTILINE)
    assert found, summary
    return int(found[1]) / 1e6


def _loadgen() -> Any:
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise EngineMissingError(
            "Package mlcommons-loadgen",
            got="no such package",
            expected="MLPerf's load generator",
            fix="Run: pip install 'edgewright[dev]'.",
        ) from error
    return mlperf_loadgen


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 where both agree within 3 %."""
    parser = argparse.ArgumentParser(
        prog="python -m demos.loadgen_agreement", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", action="append", help="real inputs instead of the golden samples")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"at least ({SECONDS:g})")
    args = parser.parse_args(arguments)
    try:
        items = items_from(args.data) if args.data else None
        found = measure_agreement(args.artifact, items, seconds=args.seconds)
    except EdgewrightError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{args.artifact.name}, single-stream, {found.count:,} predictions each, in turns")
    print(f"{'':6}{'ours ms':>10}{'LoadGen ms':>12}{'ratio':>9}{'same queries, our clock':>26}{'ratio':>9}")
    ours, same = percentiles_ms(found.ours), percentiles_ms(found.same)
    for at, name in enumerate(("p50", "p90")):
        print(
            f"{name:6}{ours[at]:>10.4f}{found.loadgen_ms[at]:>12.4f}{found.ratios[at]:>9.4f}"
            f"{same[at]:>26.4f}{found.ratios_of_the_same[at]:>9.4f}"
        )
    agree = all(abs(ratio - 1) <= AGREED for ratio in found.ratios)
    print(f"agree within {AGREED:.0%}" if agree else f"more than {AGREED:.0%} apart")
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""The figures of a benchmark: frozen dataclasses, one JSON object each.

docs/benchmark.md explains every field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdk.bench.order_statistics import effective_count, estimate

BINS_PER_DECADE = 50
"""A histogram's bins are 4.7 % wide, and the same for every run: they can be laid over each other."""


@dataclass(frozen=True)
class Percentile:
    """One percentile of the latency, in milliseconds.

    Attributes:
        value_ms: Nearest-rank percentile; None where there were fewer than `needs` predictions.
        low_ms: Lower end of the 95 % interval; None where no prediction is surely below.
        high_ms: Upper end of the 95 % interval; None where no prediction is surely above.
        bound_ms: MLPerf's early-stopping estimate: the true percentile is below it with 99 % confidence.
        needs: Fewest predictions for this percentile.
    """

    value_ms: float | None
    low_ms: float | None
    high_ms: float | None
    bound_ms: float | None
    needs: int

    @classmethod
    def of(cls, durations_ms: NDArray[np.float64], quantile: float) -> Percentile:
        """Estimate it from latencies in the order in which they were measured."""
        found = estimate(durations_ms, quantile)
        return cls(found.value, found.low, found.high, found.bound, found.needs)


@dataclass(frozen=True)
class Histogram:
    """Counts of latencies: bin k, from `first_bin` on, covers 10^(k/50) to 10^((k+1)/50) milliseconds."""

    first_bin: int
    counts: tuple[int, ...]

    @classmethod
    def of(cls, durations_ms: NDArray[np.float64]) -> Histogram:
        """Count."""
        bins = np.floor(BINS_PER_DECADE * np.log10(np.maximum(durations_ms, 1e-6))).astype(np.int64)
        first = int(bins.min())
        return cls(first, tuple(int(count) for count in np.bincount(bins - first)))


@dataclass(frozen=True)
class Latency:
    """Latency of one call, in milliseconds.

    Attributes:
        count: Calls that were timed.
        effective_count: Independent calls that would tell as much of the median.
        mean_ms: Mean.
        min_ms: Fastest.
        max_ms: Slowest.
        p50: Half of the calls were faster.
        p90: Nine in ten were faster.
        p99: Ninety-nine in a hundred were faster.
        histogram: All of them.
    """

    count: int
    effective_count: float
    mean_ms: float
    min_ms: float
    max_ms: float
    p50: Percentile
    p90: Percentile
    p99: Percentile
    histogram: Histogram

    @classmethod
    def of(cls, durations_s: NDArray[np.float64]) -> Latency:
        """Summarise durations (N,) in seconds, in the order in which they were measured."""
        ms = 1e3 * np.asarray(durations_s, np.float64)
        return cls(
            count=len(ms),
            effective_count=effective_count(ms),
            mean_ms=float(ms.mean()),
            min_ms=float(ms.min()),
            max_ms=float(ms.max()),
            p50=Percentile.of(ms, 0.5),
            p90=Percentile.of(ms, 0.9),
            p99=Percentile.of(ms, 0.99),
            histogram=Histogram.of(ms),
        )


@dataclass(frozen=True)
class Phases:
    """Means over typical dissected predictions, in milliseconds, which alternated with whole ones.

    Typical are those whose total lies between the 40th and the 60th percentile.

    Attributes:
        preprocess_ms: Items to arrays.
        run_ms: The engine, with its validation of inputs.
        postprocess_ms: Arrays to results.
        predict_ms: Median of the whole ones: about what the three add up to.
        count: How many of each.
        device_ms: Parts of a run by the device's own clock, such as ``host_to_device``; None without one.
    """

    preprocess_ms: float
    run_ms: float
    postprocess_ms: float
    predict_ms: float
    count: int
    device_ms: dict[str, float] | None


@dataclass(frozen=True)
class Spread:
    """Several launches: the median, the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise."""
        return cls(float(np.median(values)), float(min(values)), float(max(values)))


@dataclass(frozen=True)
class ColdStart:
    """Fresh processes, each from its start to its first result. Seconds of wall time.

    Attributes:
        launches: How many.
        cold_start_s: From the moment the process was asked for to its first result.
        import_s: ``from sdk import Predictor``.
        load_s: Reading and checking the file, importing the engine, opening the program.
        first_s: The first prediction.
        peak_rss_bytes: Largest resident memory up to the first result.
    """

    launches: int
    cold_start_s: Spread
    import_s: Spread
    load_s: Spread
    first_s: Spread
    peak_rss_bytes: Spread


@dataclass(frozen=True)
class Energy:
    """Energy of an item, from the machine's own meter.

    Attributes:
        source: Which meter, and so of which part of the machine.
        joules_per_item: All energy that the meter counted while predictions were timed, by items.
        net_joules_per_item: The same without what the idle machine would have drawn in that time.
        watts: Mean power while predictions were timed.
        idle_watts: Mean power just before, with the artifacts open and nothing running.
    """

    source: str
    joules_per_item: float
    net_joules_per_item: float
    watts: float
    idle_watts: float

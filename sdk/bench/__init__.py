"""Latency you can believe: scenarios, percentiles with intervals, phases, cold start, memory, energy."""

from sdk.bench.options import SCENARIOS, BenchOptions
from sdk.bench.record import BenchReport, BenchRun
from sdk.bench.run import benchmark, benchmark_predictor

__all__ = ["SCENARIOS", "BenchOptions", "BenchReport", "BenchRun", "benchmark", "benchmark_predictor"]

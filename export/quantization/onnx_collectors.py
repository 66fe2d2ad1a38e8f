"""How what flowed through a tensor becomes one range: minimum and maximum, or a threshold on a histogram.

Collectors of histograms are ONNX Runtime's (``onnxruntime.quantization.calibrate.HistogramCollector``), with
as many bins as make its thresholds fine enough; the one with the least squared error is built upon them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

from export.quantization.range_cache import Ranges
from export.recipe import ENTROPY, MINMAX, MSE, PERCENTILE
from runtimes import Array, EngineError
from runtimes.errors import first_line

PARAMETERS: dict[str, dict[str, Any]] = {
    MINMAX: {},
    # 99.99 as in Wu et al. 2020, "Integer Quantization for Deep Learning Inference", table 5.
    PERCENTILE: {"num_bins": 2048, "percentile": 99.99},
    # ONNX Runtime's default of 128 bins leaves a single threshold to choose from: the outermost.
    ENTROPY: {"num_bins": 512, "num_quantized_bins": 128},
    MSE: {"num_bins": 2048, "steps": 255, "thresholds": 256},
}
"""What each method is run with; part of the cache's key."""


class Collector(Protocol):
    """Sees batches of tensors, then says their ranges."""

    def collect(self, tensors: Mapping[str, Array]) -> None:
        """Take one batch in."""

    def ranges(self) -> Ranges:
        """Lowest and highest value by tensor name."""


def collector_for(method: str) -> Collector:
    """A collector of its own for one calibration run."""
    return _MinMax() if method == MINMAX else _Histogram(method)


class _MinMax:
    def __init__(self) -> None:
        self._ranges: Ranges = {}

    def collect(self, tensors: Mapping[str, Array]) -> None:
        for name, values in tensors.items():
            low, high = self._ranges.get(name, (np.inf, -np.inf))
            self._ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))

    def ranges(self) -> Ranges:
        return self._ranges


class _Histogram:
    def __init__(self, method: str) -> None:
        self._method = method
        parameters = PARAMETERS[method]
        if method == MSE:
            self._collector = _LeastSquares()
        elif method == ENTROPY:
            self._collector = _Entropy("entropy", False, *parameters.values(), None, None)
        else:
            # Of absolute values: what is cut off, is cut off where it is large.
            self._collector = HistogramCollector(
                "percentile", True, parameters["num_bins"], None, parameters["percentile"], None
            )

    def collect(self, tensors: Mapping[str, Array]) -> None:
        with self._readable():
            self._collector.collect(dict(tensors))

    def ranges(self) -> Ranges:
        with self._readable():
            found = self._collector.compute_collection_result()
        return {name: (float(bounds[0]), float(bounds[1])) for name, bounds in found.items()}

    @contextlib.contextmanager
    def _readable(self) -> Any:
        """Silence progress lines; turn numpy's refusal of tiny or hair-thin ranges into one line."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except ValueError as error:
            if "Too many bins" not in str(error):
                raise
            other = PERCENTILE if self._method == ENTROPY else MINMAX
            raise EngineError(
                f"Calibrator {self._method}",
                got=first_line(error),
                expected="activations that spread over a histogram",
                fix=f"Say --calibrator {other}.",
            ) from error


class _Entropy(HistogramCollector):  # type: ignore[misc]
    """ONNX Runtime's search for the least divergence, without the spike of exact zeros that ReLU leaves.

    It would outweigh everything else, and thresholds of a fifth of the range were chosen for it. NVIDIA's
    pytorch-quantization too gives the bin of zero the count of its neighbour (``calib/histogram.py``,
    ``_compute_amax_entropy``).
    """

    def compute_collection_result(self) -> Any:
        """Thresholds and histograms by tensor name."""
        for counts, *_ in self.histogram_dict.values():
            middle = len(counts) // 2
            counts[middle] = min(counts[middle], counts[middle + 1])
        return super().compute_collection_result()


class _LeastSquares(HistogramCollector):  # type: ignore[misc]
    """ONNX Runtime's histograms of signed values; the range is the one `least_squares_range` finds."""

    def __init__(self) -> None:
        bins = PARAMETERS[MSE]["num_bins"]
        super().__init__("distribution", False, bins, None, None, None)

    def compute_collection_result(self) -> Ranges:
        """Ranges by tensor name."""
        steps, thresholds = PARAMETERS[MSE]["steps"], PARAMETERS[MSE]["thresholds"]
        return {
            name: least_squares_range(counts, edges, (float(low), float(high)), steps, thresholds)
            for name, (counts, edges, low, high, _) in self.histogram_dict.items()
        }


def least_squares_range(
    counts: Array, edges: Array, seen: tuple[float, float], steps: int, thresholds: int
) -> tuple[float, float]:
    """The range whose uniform quantiser has the least squared error over a histogram.

    For every candidate t the values are clipped to [max(lowest, -t), min(highest, t)], widened to hold
    zero, and rounded to a grid of `steps` steps on which zero lies; each bin counts with its centre. That
    is the search described in Wu et al. 2020, "Integer Quantization for Deep Learning Inference" (section
    on calibration), and used with other grids by NVIDIA's pytorch-quantization.

    Args:
        counts: Values per bin, (bins,).
        edges: Borders of the bins, ascending and symmetric about zero, (bins + 1,).
        seen: Lowest and highest value.
        steps: Of the integer type: 255 for eight bits.
        thresholds: Most candidates, spread evenly over the edges above zero.
    """
    centres = ((edges[:-1] + edges[1:]) / 2).astype(np.float64)
    upper = edges[edges > 0].astype(np.float64)
    chosen = np.unique(np.linspace(0, len(upper) - 1, min(thresholds, len(upper))).round().astype(int))
    best, least = (min(seen[0], 0.0), max(seen[1], 0.0)), np.inf
    for threshold in upper[chosen][::-1]:
        low, high = max(min(seen[0], 0.0), -threshold), min(max(seen[1], 0.0), threshold)
        if low == high:
            continue
        error = float(counts @ (_on_grid(centres, low, high, steps) - centres) ** 2)
        # From the widest down: of equal errors the one that clips least.
        if error < least:
            best, least = (low, high), error
    return best


def _on_grid(values: Array, low: float, high: float, steps: int) -> Array:
    """Values as a quantiser of `steps` steps over [low, high] gives them back."""
    scale = (high - low) / steps
    zero = np.round(-low / scale)
    return (np.clip(np.round(values / scale) + zero, 0, steps) - zero) * scale

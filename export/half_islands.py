"""Which nodes of an fp32 ONNX graph have to stay in fp32 when the rest computes in half precision.

Decided from what was measured on calibration data, from the weights, and from what operators do. Half
precision (IEEE 754 binary16) reaches from 6e-8 to 65504 with 11 significant bits.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from export.half_types import HalfTypes, ops_version

if TYPE_CHECKING:
    import onnx

LARGEST_HALF = 65504.0
SAFE_SHARE = 0.25
"""Of `LARGEST_HALF`, for what was measured: other inputs go past a few hundred samples, and Winograd's
transform of a 3x3 convolution's input adds up four values (Lavin and Gray 2016, F(2x2, 3x3))."""
SMALLEST_NORMAL = 2.0**-14
"""A tensor that stays below this everywhere loses digits, then becomes zero."""
MOST_SUMMED = 256
"""Terms in one sum. A running sum of equal terms stops growing after 2048 of them, where one term is half a
unit in the last place; at an eighth of that, each still counts with three bits."""

OUTSIDE = "before or behind the network"
NO_HALF = "no form in half precision"
NORMALISATION = "normalisation"
REDUCTION = "large reduction"
WEIGHT = "constant out of range"
RANGE = "activation out of range"

_NORMALISATIONS = frozenset(
    {
        "BatchNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LogSoftmax",
        "LpNormalization",
        "LRN",
        "MeanVarianceNormalization",
        "RMSNormalization",
        "Softmax",
    }
)
_SUMS = frozenset({"ReduceSum", "ReduceMean", "ReduceL1", "ReduceLogSum", "GlobalAveragePool"})
_SUMS_OF_SQUARES = frozenset({"ReduceL2", "ReduceSumSquare", "GlobalLpPool"})
_ALWAYS_LARGE = frozenset(
    {"CumSum", "ReduceLogSumExp"}
)  # their sums are as long, or as large, as the data says


def find_islands(
    graph: onnx.GraphProto,
    ranges: Mapping[str, tuple[float, float]],
    outside: Collection[str],
    types: HalfTypes,
) -> dict[str, str]:
    """Why, by name of each node that stays in fp32, in graph order.

    Args:
        graph: In fp32, with shapes; every node has a name of its own.
        ranges: Lowest and highest value by name of each float activation.
        outside: Names of the nodes before and behind the network.
        types: What the graph's operators take.
    """
    finder = _Finder(graph, ranges, frozenset(outside), types)
    found = ((node.name, finder.reason(node)) for node in graph.node if types.touches_floats(node))
    return {name: reason for name, reason in found if reason is not None}


class _Finder:
    def __init__(
        self, graph: onnx.GraphProto, ranges: Mapping[str, Any], outside: frozenset[str], types: HalfTypes
    ) -> None:
        import onnx

        self._outside, self._types = outside, types
        self._weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in graph.initializer}
        measured = {name: bounds for name, bounds in ranges.items() if name not in self._weights}
        self._largest = {name: max(abs(low), abs(high)) for name, (low, high) in measured.items()}
        self._shapes = {info.name: _dims(info) for info in (*graph.input, *graph.value_info, *graph.output)}
        self._opset = ops_version(types.opsets, "")

    def reason(self, node: onnx.NodeProto) -> str | None:
        if node.name in self._outside:
            return OUTSIDE
        if not self._types.has_half(node):
            return NO_HALF
        if node.op_type in _NORMALISATIONS:
            return NORMALISATION
        if self._is_large_sum(node):
            return REDUCTION
        floats = self._types.float_names(node)
        if not all(fits_half(self._weights[name]) for name in floats if name in self._weights):
            return WEIGHT
        return None if all(self._is_safe(name) for name in floats if name in self._largest) else RANGE

    def _is_safe(self, name: str) -> bool:
        largest = self._largest[name]
        return largest == 0 or SMALLEST_NORMAL <= largest <= SAFE_SHARE * LARGEST_HALF

    def _is_large_sum(self, node: onnx.NodeProto) -> bool:
        if node.op_type in _ALWAYS_LARGE:
            return True
        if node.op_type not in _SUMS | _SUMS_OF_SQUARES:
            return False
        terms = self._terms(node)
        largest = self._largest.get(node.input[0], 0.0)
        largest = largest**2 if node.op_type in _SUMS_OF_SQUARES else largest
        return terms > MOST_SUMMED or terms * largest > SAFE_SHARE * LARGEST_HALF

    def _terms(self, node: onnx.NodeProto) -> float:
        """Numbers in each sum; infinite where the shape does not tell."""
        shape = self._shapes.get(node.input[0])
        if shape is None:
            return math.inf
        axes = range(2, len(shape)) if node.op_type.startswith("Global") else self._axes(node, len(shape))
        return math.inf if axes is None else math.prod(shape[axis] for axis in axes)

    def _axes(self, node: onnx.NodeProto, rank: int) -> Any:
        values = {attribute.name: attribute for attribute in node.attribute}
        if "axes" in values:
            return list(values["axes"].ints)
        if len(node.input) > 1 and node.input[1]:  # an input since opset 13 (sum) or 18 (the others)
            known = self._weights.get(node.input[1])
            return None if known is None else known.reshape(-1).tolist()
        return range(rank)


def fits_half(weight: np.ndarray[Any, Any]) -> bool:
    """Whether a constant keeps its meaning in half: nothing overflows, and not everything becomes zero.

    Infinity stands for itself in both, as in an attention mask.
    """
    if weight.dtype != np.float32 or not weight.size:
        return True
    finite = weight[np.isfinite(weight)]
    largest = float(np.abs(finite).max(initial=0.0))
    return largest <= LARGEST_HALF and (largest == 0 or np.float16(largest) > 0)


def _dims(info: onnx.ValueInfoProto) -> list[float] | None:
    if not info.type.tensor_type.HasField("shape"):
        return None
    return list(_extents(info.type.tensor_type.shape.dim))


def _extents(dims: Any) -> Iterator[float]:
    for dim in dims:
        yield dim.dim_value if dim.HasField("dim_value") else math.inf

"""From a checkpoint's network to an INT8 ONNX graph: trace, calibrate, quantise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.onnx_graph import strip_notes, trace_onnx
from export.quantization.integer_types import TENSORRT_TYPES, IntegerTypes, cpu_types
from export.quantization.onnx_layers import nodes_of_layers, nodes_outside
from export.quantization.onnx_prepare import fold_normalisations, pool_means
from export.quantization.onnx_ranges import Calibrated, measure_ranges
from export.quantization.onnx_static import CPU, TENSORRT, quantize_static_qdq
from runtimes import UsageError
from sdk.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from export.calibration import CalibrationSet
    from export.recipe import Recipe


def lower_int8_for_cpu(
    network: nn.Module,
    spec: Spec,
    recipe: Recipe,
    calibration: CalibrationSet | None,
    types: IntegerTypes | None = None,
) -> tuple[bytes, Spec, dict[str, Any]]:
    """The graph for ONNX Runtime.

    Args:
        network: The checkpoint's network, fp32, eval mode.
        spec: Its spec.
        recipe: Calibrator, granularity and layers to keep.
        calibration: What to measure ranges on.
        types: Integers to use; None for what suits this machine.

    Returns:
        The model, the spec of its graph, and the record of the calibration; its ``kept_nodes`` names the
        nodes of every layer that was kept.

    Raises:
        ProofError: An activation is NaN or infinite on calibration data.
        EngineError: The exporter, the calibrator or the quantiser refuses the network.
        UsageError: A layer to keep is not in the network, or there is no calibration data.
    """
    calibrated = _calibrate(network, spec, recipe, calibration)
    payload = _quantize(calibrated, recipe, CPU, types or cpu_types())
    return payload, calibrated.spec, calibrated.record


def lower_int8_for_tensorrt(
    network: nn.Module, spec: Spec, recipe: Recipe, calibration: CalibrationSet | None
) -> tuple[bytes, Spec, dict[str, Any]]:
    """The graph that TensorRT's builders accept, from the very ranges of `lower_int8_for_cpu`.

    Takes, gives and raises the same.
    """
    calibrated = _calibrate(network, spec, recipe, calibration)
    payload = _quantize(calibrated, recipe, TENSORRT, TENSORRT_TYPES)
    return payload, calibrated.spec, calibrated.record


@dataclass(frozen=True)
class _Traced:
    """The fp32 graph with what is known of it.

    Attributes:
        payload: Without the exporter's notes.
        spec: Of the graph.
        keep_nodes: Nodes that stay in fp32, those around the network among them.
        kept: Nodes of the layers that the recipe keeps, by layer.
        measured: Ranges of its activations.
    """

    payload: bytes
    spec: Spec
    keep_nodes: frozenset[str]
    kept: dict[str, list[str]]
    measured: Calibrated

    @property
    def record(self) -> dict[str, Any]:
        """Of the calibration, and which nodes the kept layers are."""
        return {**self.measured.record, "kept_nodes": self.kept}


def _calibrate(network: nn.Module, spec: Spec, recipe: Recipe, calibration: CalibrationSet | None) -> _Traced:
    if calibration is None:
        raise UsageError(
            "INT8 export",
            got="no calibration data",
            expected="real inputs to measure ranges on",
            fix="Pass a CalibrationSet, or use int8-dynamic.",
        )
    noted, baked_spec = trace_onnx(network, spec)
    kept = nodes_of_layers(noted, recipe.keep)
    keep_nodes = frozenset(name for names in kept.values() for name in names) | set(nodes_outside(noted))
    payload = pool_means(fold_normalisations(strip_notes(noted)))
    measured = measure_ranges(payload, baked_spec, calibration, recipe.calibrator)
    return _Traced(payload, baked_spec, keep_nodes, kept, measured)


def _quantize(traced: _Traced, recipe: Recipe, target: str, types: IntegerTypes) -> bytes:
    return quantize_static_qdq(
        traced.payload,
        traced.measured.ranges,
        target=target,
        types=types,
        granularity=recipe.granularity,
        keep_nodes=traced.keep_nodes,
    )

"""Measure what flows through an fp32 graph while it runs on calibration data."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from export.quantization.onnx_collectors import PARAMETERS, collector_for
from export.quantization.range_cache import Ranges, cache_key, read_ranges, write_ranges
from runtimes import Array, EngineError, ProofError
from runtimes.errors import first_line
from sdk.spec import Spec

if TYPE_CHECKING:
    from export.calibration import CalibrationSet

BATCH = 16
"""Items per run: every activation of a batch is in memory at once."""
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Calibrated:
    """Ranges and where they come from.

    Attributes:
        ranges: Lowest and highest value by tensor name, in graph order.
        record: For an artifact's evidence: method, split, samples, data_sha256, cache_key and ranges.
        from_cache: Whether they had been measured before.
    """

    ranges: Ranges
    record: dict[str, Any]
    from_cache: bool


def measure_ranges(payload: bytes, spec: Spec, calibration: CalibrationSet, method: str) -> Calibrated:
    """Range of every float activation of a graph, from the cache where nothing has changed.

    The cache's key covers the model, the host's preprocessing, the data, the method with its parameters,
    and ONNX Runtime's version.

    Args:
        payload: A complete fp32 ONNX model.
        spec: Of that graph.
        calibration: What to feed.
        method: One of `export.recipe.CALIBRATORS`.

    Raises:
        ProofError: An activation is NaN or infinite.
        EngineError: ONNX Runtime refuses the model, or the method cannot cope with an activation.
        UsageError: The cache's folder cannot be written to.
    """
    import onnxruntime

    key = cache_key(
        {
            "model": hashlib.sha256(payload).hexdigest(),
            "input": spec.input.to_json(),
            "baked": list(spec.baked),
            "data": calibration.sha256,
            "method": method,
            "parameters": PARAMETERS[method],
            "batch": BATCH,
            "onnxruntime": onnxruntime.__version__,
        }
    )
    ranges = read_ranges(key)
    from_cache = ranges is not None
    if ranges is None:
        ranges = observe(payload, calibration.batches(spec, BATCH), method)
        write_ranges(key, ranges)
    record = {
        "method": method,
        "parameters": PARAMETERS[method],
        "split": calibration.split,
        "samples": len(calibration.items),
        "data_sha256": calibration.sha256,
        "cache_key": key,
        "ranges": {name: list(bounds) for name, bounds in ranges.items()},
    }
    return Calibrated(ranges, record, from_cache)


def observe(payload: bytes, batches: Iterable[dict[str, Array]], method: str) -> Ranges:
    """Run a graph on batches and collect the range of every float activation.

    Raises:
        ProofError: An activation is NaN or infinite.
        EngineError: ONNX Runtime refuses the model, or the method cannot cope with an activation.
    """
    session, names = _open_with_all_outputs(payload)
    collector = collector_for(method)
    inputs = {info.name for info in session.get_inputs()}
    for batch in batches:
        try:
            arrays = session.run(names, batch)
        except Exception as error:  # ONNX Runtime's exceptions share no narrower base class
            raise EngineError(
                "Calibration run",
                got=first_line(error),
                expected="a completed run",
                fix="Check the calibration data against the model.",
            ) from error
        tensors = dict(zip(names, arrays, strict=True))
        _require_finite(tensors)
        collector.collect({name: _owned(tensors[name], name in inputs) for name in names})
    ranges = collector.ranges()
    return {name: (_shortest(ranges[name][0]), _shortest(ranges[name][1])) for name in names}


def _open_with_all_outputs(payload: bytes) -> tuple[Any, list[str]]:
    """A session that gives every float activation, and their names in graph order."""
    import onnx
    import onnxruntime

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(payload))
    graph = model.graph
    known = {info.name: info for info in (*graph.input, *graph.value_info, *graph.output)}
    produced = itertools.chain((i.name for i in graph.input), *(node.output for node in graph.node))
    names = [
        name
        for name in produced
        if name in known and known[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    there = {info.name for info in graph.output}
    graph.output.extend(known[name] for name in names if name not in there)
    options = onnxruntime.SessionOptions()
    # Fused nodes would hide the tensors between them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's exceptions share no narrower base class
        raise EngineError(
            "ONNX model",
            got=first_line(error),
            expected="a model ONNX Runtime can load",
            fix="Export it again, or update onnxruntime.",
        ) from error
    return session, names


def _shortest(bound: float) -> float:
    """The number with the fewest digits that is the same in single precision, as the quantiser uses it."""
    return float(str(np.float32(bound)))


def _owned(array: Array, is_input: bool) -> Array:
    """ONNX Runtime hands a graph input that is an output too back as the caller's own memory."""
    return array.copy() if is_input else array


def _require_finite(tensors: dict[str, Array]) -> None:
    for name, values in tensors.items():
        # One pass without a temporary: a maximum is NaN when anything is.
        if values.size and not (values.max() <= _LARGEST_FLOAT and values.min() >= -_LARGEST_FLOAT):
            raise ProofError(
                f"Activation '{name}'",
                got="NaN or infinity on calibration data",
                expected="finite numbers",
                fix="Train again with a lower learning rate, or remove the sample that causes it.",
            )

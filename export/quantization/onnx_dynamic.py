"""INT8 whose activation ranges are measured anew on every run: for linear and recurrent layers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.onnx_graph import strip_notes
from export.quantization.integer_types import IntegerTypes, cpu_types
from export.quantization.onnx_compact import compact, names_in
from export.quantization.onnx_embeddings import store_embeddings_as_int8
from export.quantization.onnx_prepare import optimise
from export.recipe import PER_CHANNEL
from runtimes import EngineError, UsageError
from runtimes.errors import first_line

OPERATORS = ("Attention", "Gemm", "LSTM", "MatMul")
"""What ONNX Runtime has such kernels for; Gemm is rewritten as MatMul and Add. GRU is not among them."""


def quantize_dynamic_graph(payload: bytes, granularity: str, types: IntegerTypes | None = None) -> bytes:
    """A copy whose linear and recurrent layers compute in integers, and whose large embeddings are stored so.

    Args:
        payload: A complete fp32 ONNX model.
        granularity: ``per-channel`` or ``per-tensor`` scales of weights.
        types: Whether weights use 7 bits is taken from here; None for what suits this machine.

    Raises:
        UsageError: The graph has no layer that could be quantised so.
        EngineError: ONNX Runtime's quantiser refuses the model.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _require_operator(payload)
    types = types or cpu_types()
    with tempfile.TemporaryDirectory(prefix="edgewright-") as scratch, _quiet():
        before, after = Path(scratch) / "before.onnx", Path(scratch) / "after.onnx"
        # Optimised, since the exporter puts an LSTM's weights together with nodes; and without known shapes:
        # that of Gemm's output would contradict its rewritten form.
        before.write_bytes(optimise(payload))
        try:
            quantize_dynamic(
                before,
                after,
                op_types_to_quantize=[name for name in OPERATORS if name != "Gemm"],
                per_channel=granularity == PER_CHANNEL,
                reduce_range=types.reduce_range,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the quantiser raises whatever it stumbles over
            raise EngineError(
                "ONNX quantiser",
                got=first_line(error),
                expected="a graph onnxruntime.quantization can quantise",
                fix="Choose another precision.",
            ) from error
        model = onnx.load(after)
    store_embeddings_as_int8(model)
    compact(model, names_in(onnx.load_from_string(payload)))
    return strip_notes(model.SerializeToString())


def _require_operator(payload: bytes) -> None:
    import onnx

    graph = onnx.load_from_string(payload).graph
    found = {node.op_type for node in graph.node}
    if not found & set(OPERATORS):
        raise UsageError(
            "Option --precision",
            got="int8-dynamic for a graph without linear or LSTM layers",
            expected=f"a graph with one of {', '.join(OPERATORS)}",
            fix="Use --precision int8, which quantises convolutions with calibrated ranges.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises a preprocessing that was done or is not needed."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)

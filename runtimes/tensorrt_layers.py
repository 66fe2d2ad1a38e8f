"""Which precision TensorRT's layers have: read from a parsed network, or from a finished engine."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runtimes.errors import ProofError
from runtimes.tensorrt_package import numpy_name

FP32 = "fp32"
FP16 = "fp16"
DTYPE_OF = {FP32: "float32", FP16: "float16"}

_COMPUTE = re.compile(r"CONV|GEMM|MATRIX_?MUL|MATMUL|FULLY_?CONNECTED|EINSUM|RNN", re.IGNORECASE)
# An engine's inspector writes "Row major linear FP32", "Half", "… vectorized … FP16 format" and the like.
_FORMATS = (
    (re.compile(r"\b(FP16|Half)\b", re.IGNORECASE), "float16"),
    (re.compile(r"\b(BF16|BFloat16)\b", re.IGNORECASE), "bfloat16"),
    (re.compile(r"\b(FP32|Float)\b", re.IGNORECASE), "float32"),
    (re.compile(r"\b(FP8)\b", re.IGNORECASE), "fp8"),
    (re.compile(r"\bInt8\b", re.IGNORECASE), "int8"),
)
_WIDTHS = ("int8", "fp8", "float16", "bfloat16", "float32")


@dataclass(frozen=True)
class Layer:
    """One layer that gives out numbers.

    Attributes:
        name: As the ONNX graph or the engine calls it.
        kind: TensorRT's name of the layer type, such as ``CONVOLUTION``.
        dtype: Element type that it computes in, as numpy calls it.
    """

    name: str
    kind: str
    dtype: str

    @property
    def computes(self) -> bool:
        """Whether it is a convolution or a matrix product: where the time goes."""
        return bool(_COMPUTE.search(self.kind))


def network_layers(network: Any) -> tuple[Layer, ...]:
    """Layers of a parsed network. In a strongly typed one these types are what gets built."""
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return tuple(
        Layer(layer.name, layer.type.name, numpy_name(layer.get_output(0).dtype))
        for layer in layers
        if layer.num_outputs and layer.get_output(0) is not None
    )


def engine_layers(trt: Any, engine: Any) -> tuple[Layer, ...]:
    """Layers of a finished engine; empty when it was built without detailed layer information."""
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        entries = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    return tuple(layer for layer in map(_inspected, entries) if layer is not None)


def precision_counts(layers: Iterable[Layer]) -> dict[str, dict[str, int]]:
    """How many layers of each kind have which dtype: ``{"CONVOLUTION": {"float16": 3}}``."""
    counts: dict[str, Counter[str]] = {}
    for layer in layers:
        counts.setdefault(layer.kind, Counter())[layer.dtype] += 1
    return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}


def check_precision(requested: str, layers: Iterable[Layer]) -> None:
    """Refuse what did not come out as asked for.

    Args:
        requested: ``fp32`` or ``fp16``.
        layers: What was read back. Only convolutions and matrix products are judged: softmax,
            normalisation and the like may well stay in fp32.

    Raises:
        ProofError: One of them has another precision, or there is none to judge by.
    """
    judged = [layer for layer in layers if layer.computes]
    wrong = [layer for layer in judged if layer.dtype != DTYPE_OF[requested]]
    if judged and not wrong:
        return
    shown = ", ".join(f"{layer.name!r} ({layer.dtype})" for layer in wrong[:3])
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    raise ProofError(
        "TensorRT precision",
        got=f"{shown}{more}" if wrong else "no convolution or matrix product to read it from",
        expected=f"every convolution and matrix product in {requested}",
        fix=f"Export the checkpoint again with --precision {requested}.",
    )


def _inspected(entry: Any) -> Layer | None:
    if not isinstance(entry, dict):
        return None
    tensors = [*entry.get("Inputs", [])[:1], *entry.get("Outputs", [])[:1]]
    found = [_dtype(tensor.get("Format/Datatype", tensor.get("Datatype", ""))) for tensor in tensors]
    # A cast fused into a layer shows as one wide side, so the narrower side tells what it computes in;
    # where the weights' type is written, that tells it outright.
    weights = entry.get("Weights")
    dtype = _dtype(weights.get("Type", "")) if isinstance(weights, dict) else None
    dtype = dtype or min((name for name in found if name), key=_WIDTHS.index, default=None)
    if dtype is None:
        return None
    return Layer(str(entry.get("Name", "")), str(entry.get("LayerType", "")), dtype)


def _dtype(text: Any) -> str | None:
    return next((dtype for pattern, dtype in _FORMATS if pattern.search(str(text))), None)

"""Which precision TensorRT's layers have: read from a parsed network, or from a finished engine."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from runtimes.errors import ProofError
from runtimes.tensorrt_package import numpy_name

FP32 = "fp32"
FP16 = "fp16"
INT8 = "int8"
DTYPE_OF = {FP32: "float32", FP16: "float16", INT8: "int8"}

_COMPUTE = re.compile(r"CONV|GEMM|MATRIX_?MUL|MATMUL|FULLY_?CONNECTED|EINSUM|RNN", re.IGNORECASE)
# An engine's inspector writes "Row major linear FP32", "Half", "… vectorized … FP16 format" and the like.
_FORMATS = (
    (re.compile(r"\b(FP16|Half)\b", re.IGNORECASE), "float16"),
    (re.compile(r"\b(BF16|BFloat16)\b", re.IGNORECASE), "bfloat16"),
    (re.compile(r"\b(FP32|Float)\b", re.IGNORECASE), "float32"),
    (re.compile(r"\b(FP8)\b", re.IGNORECASE), "fp8"),
    (re.compile(r"\bInt8\b", re.IGNORECASE), "int8"),
)
# What a tensor may pass between its DEQUANTIZE and the layer that multiplies it, and still be int8 there.
_SAME_NUMBERS = ("SHUFFLE", "IDENTITY", "SQUEEZE", "UNSQUEEZE")
_WIDTHS = ("int8", "fp8", "float16", "bfloat16", "float32")


@dataclass(frozen=True)
class Layer:
    """One layer that gives out numbers.

    Attributes:
        name: As the ONNX graph or the engine calls it.
        kind: TensorRT's name of the layer type, such as ``CONVOLUTION``.
        dtype: Element type that it computes in, as numpy calls it.
        origin: The ONNX nodes that it was made from, as TensorRT 10 and later note them:
            ``[ONNX Layer: conv1]``, one after the other. Empty where nothing is noted.
    """

    name: str
    kind: str
    dtype: str
    origin: str = ""

    @property
    def computes(self) -> bool:
        """Whether it is a convolution or a matrix product: where the time goes."""
        return bool(_COMPUTE.search(self.kind))


def network_layers(network: Any) -> tuple[Layer, ...]:
    """Layers of a parsed network. In a strongly typed one these types are what gets built.

    Tensors around a quantised layer are floats: it is int8 because both that it multiplies come from a
    DEQUANTIZE layer, which the builder fuses into it.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    given = [layer for layer in layers if layer.num_outputs and layer.get_output(0) is not None]
    makers = {layer.get_output(0).name: layer for layer in given}
    return tuple(_parsed_layer(layer, makers) for layer in given)


def engine_layers(trt: Any, engine: Any) -> tuple[Layer, ...]:
    """Layers of a finished engine; empty when it was built without detailed layer information."""
    return tuple(layer for layer in map(_inspected, _entries(trt, engine)) if layer is not None)


def layer_kinds(trt: Any, engine: Any) -> dict[str, str]:
    """Types of a finished engine's layers by their names, as far as it tells."""
    known = (entry for entry in _entries(trt, engine) if isinstance(entry, dict))
    return {entry["Name"]: entry["LayerType"] for entry in known if {"Name", "LayerType"} <= set(entry)}


def _entries(trt: Any, engine: Any) -> list[Any]:
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        return list(json.loads(text).get("Layers", []))
    except (ValueError, AttributeError):
        return []


def precision_counts(layers: Iterable[Layer]) -> dict[str, dict[str, int]]:
    """How many layers of each kind have which dtype: ``{"CONVOLUTION": {"float16": 3}}``."""
    counts: dict[str, Counter[str]] = {}
    for layer in layers:
        counts.setdefault(layer.kind, Counter())[layer.dtype] += 1
    return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}


def not_as_requested(requested: str, layers: Iterable[Layer], kept: Collection[str] = ()) -> list[str]:
    """Names of convolutions and matrix products in another precision, those that were kept so left out.

    Args:
        requested: ``fp32``, ``fp16`` or ``int8``.
        layers: What was read back.
        kept: ONNX nodes that are meant to stay in higher precision.
    """
    wrong = (layer for layer in layers if layer.computes and layer.dtype != DTYPE_OF[requested])
    return [layer.name for layer in wrong if not is_kept(layer, kept)]


def is_kept(layer: Layer, kept: Collection[str]) -> bool:
    """Whether a layer is one of the ONNX nodes in `kept`, or was fused from one."""
    return any(node == layer.name or f"[ONNX Layer: {node}]" in layer.origin for node in kept)


def check_precision(requested: str, layers: Iterable[Layer], kept: Collection[str] = ()) -> None:
    """Refuse what did not come out as asked for.

    An int8 engine may have layers in higher precision, since a Q/DQ graph need not quantise all of them:
    `not_as_requested` names those for the record. In the other precisions every layer counts.

    Args:
        requested: ``fp32``, ``fp16`` or ``int8``.
        layers: What was read back. Only convolutions and matrix products are judged: softmax,
            normalisation and the like may well stay in fp32.
        kept: ONNX nodes that are meant to stay in higher precision.

    Raises:
        ProofError: One of them has another precision, or there is none to judge by.
    """
    judged = [layer for layer in layers if layer.computes]
    names = not_as_requested(requested, judged, kept)
    right = any(layer.dtype == DTYPE_OF[requested] for layer in judged)
    if right and (requested == INT8 or not names):
        return
    wrong = [layer for layer in judged if layer.name in names or not right]
    shown = ", ".join(f"{layer.name!r} ({layer.dtype})" for layer in wrong[:3])
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    how_many = "at least one" if requested == INT8 else "every"
    raise ProofError(
        "TensorRT precision",
        got=f"{shown}{more}" if wrong else "no convolution or matrix product to read it from",
        expected=f"{how_many} convolution and matrix product in {requested}",
        fix=f"Export the checkpoint again with --precision {requested}.",
    )


def _parsed_layer(layer: Any, makers: dict[str, Any]) -> Layer:
    origin = str(getattr(layer, "metadata", ""))
    read = Layer(layer.name, layer.type.name, numpy_name(layer.get_output(0).dtype), origin)
    return replace(read, dtype=DTYPE_OF[INT8]) if read.computes and _is_quantised(layer, makers) else read


def _is_quantised(layer: Any, makers: dict[str, Any]) -> bool:
    """Whether a layer's data and its weights (or second factor) both come from a DEQUANTIZE layer."""
    if layer.num_inputs < 2:  # weights inside the layer: not quantised
        return False
    return all(_source(layer.get_input(index), makers) == "DEQUANTIZE" for index in (0, 1))


def _source(tensor: Any, makers: dict[str, Any]) -> str:
    maker = makers.get(tensor.name) if tensor is not None else None
    while maker is not None and maker.type.name in _SAME_NUMBERS:
        maker = makers.get(maker.get_input(0).name)
    return "" if maker is None else str(maker.type.name)


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
    name, kind, origin = (str(entry.get(key, "")) for key in ("Name", "LayerType", "Metadata"))
    return Layer(name, kind, dtype, origin)


def _dtype(text: Any) -> str | None:
    return next((dtype for pattern, dtype in _FORMATS if pattern.search(str(text))), None)

"""A stand-in for TensorRT's builder as it was up to version 10, with its FP16 switch. It builds nothing.

Its "ONNX" is JSON: a list of layers with the dtype that each would have in the graph. What it keeps of
the real one: without a strongly typed network the types before the build are those of casts alone, the
switch is only a permission, and the layers that were bound to a precision get it when constraints are obeyed.
"""

from __future__ import annotations

import enum
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runtimes.tensorrt_stand_in import DataType, TensorRTStandIn, install, make_plan

_NAMES = {"float32": "FLOAT", "float16": "HALF"}
_ENGINE_TEXT = {
    "FLOAT": "Row major linear FP32",
    "HALF": "Row major linear FP16 format",
    "INT8": "Four wide channel vectorized row major Int8 format",
}


def make_graph(dtype: str) -> bytes:
    """Cast, convolution, matrix product in `dtype`, and a softmax in float32."""
    return json.dumps(
        [
            ["cast_down", "CAST", dtype],
            ["conv1", "CONVOLUTION", dtype],
            ["fc", "MATRIX_MULTIPLY", dtype],
            ["softmax", "SOFTMAX", "float32"],
        ]
    ).encode()


def make_int8_graph() -> bytes:
    """A convolution whose data and weights are dequantised, and a matrix product that stays in float32."""
    return json.dumps(
        [
            ["data", "DEQUANTIZE", "float32"],
            ["weights", "DEQUANTIZE", "float32"],
            ["reordered", "SHUFFLE", "float32", "weights"],
            ["conv1", "CONVOLUTION", "float32", "data", "reordered"],
            ["flat", "SHUFFLE", "float32", "conv1"],
            ["fc", "MATRIX_MULTIPLY", "float32", "flat", "weights"],
        ]
    ).encode()


class _Layer:
    def __init__(self, name: str, kind: str, dtype: str, inputs: list[str], typed: bool) -> None:
        self.name, self.type, self.num_outputs = name, SimpleNamespace(name=kind), 1
        self.metadata = f"[ONNX Layer: {name}]"
        known = typed or kind == "CAST"
        self._output = SimpleNamespace(name=name, dtype=DataType[_NAMES[dtype]] if known else DataType.FLOAT)
        self._inputs = [SimpleNamespace(name=made_by) for made_by in inputs]
        self.num_inputs = len(inputs)
        self.precision: Any = None

    def get_input(self, index: int) -> Any:
        return self._inputs[index]

    def get_output(self, index: int) -> Any:
        return self._output


class _Network:
    num_inputs = num_outputs = 1

    def __init__(self, typed: bool) -> None:
        self.typed = typed
        self.layers: list[_Layer] = []

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_layer(self, index: int) -> _Layer:
        return self.layers[index]

    def get_input(self, index: int) -> Any:
        return SimpleNamespace(name="image", shape=(-1, 2, 2, 1), dtype=DataType.UINT8)

    def get_output(self, index: int) -> Any:
        return SimpleNamespace(name="scores", dtype=DataType.FLOAT)


class _Config:
    def __init__(self) -> None:
        self.flags = {"TF32"}
        self.profiling_verbosity: Any = None

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def add_optimization_profile(self, profile: Any) -> int:
        return 0


class TensorRTBuilderStandIn(TensorRTStandIn):
    """`tensorrt` with a builder: switches up to version 10, strongly typed networks from 10 on."""

    ProfilingVerbosity = enum.Enum("ProfilingVerbosity", "DETAILED")
    ignores_fp16 = False

    def equip(self) -> None:
        """Give it the flags that its version has."""
        major = int(self.__version__.split(".")[0])
        self.BuilderFlag = enum.Enum(
            "BuilderFlag", "TF32 FP16 INT8 OBEY_PRECISION_CONSTRAINTS" if major <= 10 else "TF32"
        )
        self.NetworkDefinitionCreationFlag = enum.IntEnum(
            "NetworkDefinitionCreationFlag",
            "EXPLICIT_BATCH" if major < 10 else "EXPLICIT_BATCH STRONGLY_TYPED",
        )
        self.typed_networks: list[bool] = []

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        return SimpleNamespace(
            create_network=self._network,
            create_builder_config=self._configure,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *shapes: None),
            build_serialized_network=self._build,
        )

    def OnnxParser(self, network: _Network, logger: Any) -> Any:  # noqa: N802
        def parse(data: bytes) -> bool:
            network.layers = [
                _Layer(name, kind, dtype, [*inputs], network.typed)
                for name, kind, dtype, *inputs in json.loads(data)
            ]
            return True

        return SimpleNamespace(parse=parse, num_errors=0)

    def _network(self, flags: int) -> _Network:
        typed_flag = getattr(self.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        typed = typed_flag is not None and bool(flags & 1 << int(typed_flag))
        self.typed_networks.append(typed)
        return _Network(typed)

    def _configure(self) -> _Config:
        self.config = _Config()
        return self.config

    def _build(self, network: _Network, config: _Config) -> bytes:
        makers = {layer.name: layer for layer in network.layers}
        obeys = {"FP16", "OBEY_PRECISION_CONSTRAINTS"} <= config.flags and not self.ignores_fp16
        layers = []
        for layer in network.layers:
            dtype = layer.get_output(0).dtype
            if not network.typed:
                dtype = layer.precision if obeys and layer.precision else DataType.FLOAT
            if layer.name == "conv1" and "data" in makers and (network.typed or "INT8" in config.flags):
                dtype = DataType.INT8  # it fuses what dequantises
            layers.append(
                {
                    "Name": layer.name,
                    "LayerType": layer.type.name,
                    "Outputs": [{"Format/Datatype": _ENGINE_TEXT[dtype.name]}],
                    "Metadata": layer.metadata,
                }
            )
        return make_plan(self.__version__, layers=layers)


def install_builder(
    monkeypatch: pytest.MonkeyPatch, version: str, *, gpus: int = 1
) -> TensorRTBuilderStandIn:
    """Put the stand-in where `tensorrt` is imported from."""
    plain = install(monkeypatch, version, gpus=gpus)
    module = TensorRTBuilderStandIn(plain.cudart, version)
    module.equip()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module

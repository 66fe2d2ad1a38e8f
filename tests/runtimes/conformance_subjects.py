"""The same small graph for every engine: ``scores = x.reshape(N, 16) @ W + b`` with x float32 (N, 4, 4).

A subject makes the program that its adapter opens. A new runtime adds one here and passes the suite.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from runtimes import Dim, Program, Runtime, TensorInfo, open_runtime
from tests.runtimes.shim import use_shim
from tests.runtimes.tensorrt_stand_in import install, make_plan

MAX_BATCH = 8
STAND_IN_VERSION = "10.3.0"
WEIGHT = np.random.default_rng(7).normal(size=(16, 3)).astype(np.float32)
BIAS = np.array([0.5, -1.0, 2.0], np.float32)


def reference(x: np.ndarray) -> np.ndarray:
    """What every engine must answer, in numpy."""
    return x.reshape(len(x), 16) @ WEIGHT + BIAS


def signature(bound: int | None) -> dict[str, tuple[TensorInfo, ...]]:
    """Declared inputs and outputs."""
    batch = Dim(1, bound)
    return {
        "inputs": (TensorInfo("x", "float32", (batch, 4, 4)),),
        "outputs": (TensorInfo("scores", "float32", (batch, 3)),),
    }


@dataclass(frozen=True)
class Subject:
    """One adapter under test.

    Attributes:
        suffix: What the registry opens it by.
        program: Makes the program; may skip with what is missing.
        tolerance: Largest absolute difference from `reference`.
        bounded: Whether the program refuses more than `MAX_BATCH`.
        computes: Whether answers depend on the input.
        prepare: Puts what the engine needs in place before each test.
        engine: Its name in the registry, where one engine has several subjects.
        options: To open it with.
    """

    suffix: str
    program: Callable[[], Program]
    engine: str
    tolerance: float = 1e-5  # float32 sums of 16 products in another order
    bounded: bool = False
    computes: bool = True
    prepare: Callable[[pytest.MonkeyPatch], None] = field(default=lambda monkeypatch: None)
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, program: Program | None = None, **options: Any) -> Runtime:
        """Open its program, or another, with its options and more."""
        return open_runtime(self.suffix, program or self.program(), **{**self.options, **options})


@functools.cache
def onnx_program() -> Program:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "flat"], ["rows"]),
            helper.make_node("Gemm", ["rows", "weight", "bias"], ["scores"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.array([-1, 16], np.int64), "flat"),
            numpy_helper.from_array(WEIGHT, "weight"),
            numpy_helper.from_array(BIAS, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Program(model.SerializeToString(), **signature(None))


def linear_network() -> Any:
    """The graph as a torch module; also what the test's network entry point builds."""
    import torch

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    with torch.no_grad():
        network[1].weight.copy_(torch.from_numpy(WEIGHT.T.copy()))
        network[1].bias.copy_(torch.from_numpy(BIAS))
    return network.eval()


@functools.cache
def executorch_program() -> Program:
    pytest.importorskip("executorch", reason="executorch is not installed")
    import torch

    from export.lowerings.executorch_lowering import import_exir, quiet_lowering

    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    exported = torch.export.export(linear_network(), (torch.zeros(2, 4, 4),), dynamic_shapes=({0: batch},))
    exir = import_exir()
    with quiet_lowering():
        edge = exir["lower"](exported, partitioner=[exir["partitioner"]()])
        return Program(bytes(edge.to_executorch().buffer), **signature(MAX_BATCH))


@functools.cache
def torch_program() -> Program:
    pytest.importorskip("torch", reason="torch is not installed")
    from safetensors.torch import save

    network = {"name": "conformance_linear", "arguments": {}}
    return Program(save(linear_network().state_dict()), network=network, **signature(None))


def fake_program() -> Program:
    table = {
        "inputs": [["x", "float32", [None, 4, 4]]],
        "outputs": [["scores", "float32", [None, 3]]],
        "rows": BIAS[None].tolist(),
    }
    return Program(json.dumps(table).encode())


def install_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, STAND_IN_VERSION)


def tensorrt_program() -> Program:
    """A plan of the stand-in: no GPU is needed, and no engine is run."""
    plan = make_plan(
        STAND_IN_VERSION,
        inputs=[["x", "FLOAT", [-1, 4, 4]]],
        outputs=[["scores", "FLOAT", [-1, 3]]],
        profile={"x": [[1, 4, 4], [1, 4, 4], [MAX_BATCH, 4, 4]]},
        matrix=WEIGHT.tolist(),
        bias=BIAS.tolist(),
        layers=[{"Name": "reshape", "LayerType": "Shuffle"}, {"Name": "linear", "LayerType": "gemm"}],
    )
    return Program(plan, **signature(MAX_BATCH))


SUBJECTS = {
    "onnxruntime": Subject(".onnx", onnx_program, "onnxruntime"),
    "executorch-native": Subject(
        ".pte", executorch_program, "executorch", bounded=True, prepare=use_shim, options={"native": True}
    ),
    "executorch-python": Subject(
        ".pte", executorch_program, "executorch", bounded=True, options={"native": False}
    ),
    "torch": Subject(".safetensors", torch_program, "torch"),
    "tensorrt": Subject(".trt", tensorrt_program, "tensorrt", bounded=True, prepare=install_stand_in),
    "fake": Subject(".fake", fake_program, "fake", computes=False),
}

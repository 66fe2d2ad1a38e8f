"""Stand-ins for TensorRT and for CUDA's Python binding. They are not TensorRT: no GPU, no kernels.

They keep the rules that an adapter must obey (names, shapes within the profile, addresses before a run,
statuses to look at, nothing read before the stream was synchronised, a recording that is void once the
shapes change) and count what is allocated, so that the adapter's own logic can be tested anywhere.
A plan is a tag and JSON; its engine answers every output with ``x.reshape(N, -1) @ matrix + bias``.
"""

# ruff: noqa: N802, N815 - the names are CUDA's and TensorRT's own

from __future__ import annotations

import ctypes
import enum
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

NO_DEVICE, OUT_OF_MEMORY = 100, 2
_TEXTS = {
    NO_DEVICE: b"no CUDA-capable device is detected",
    OUT_OF_MEMORY: b"out of memory",
}
DataType = enum.Enum("DataType", "FLOAT HALF BF16 INT8 UINT8 INT32 INT64 BOOL")
_KINDS = ("device", "host", "stream", "graph", "recording")
_NUMPY = {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8", "INT64": "int64"}


class CudartStandIn:
    """The CUDA runtime on host memory. `live` holds what was allocated and not freed."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.live: dict[str, dict[int, Any]] = {
            "device": {},
            "host": {},
            "stream": {},
            "graph": {},
            "recording": {},
            "event": {},
        }
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, int] = {}
        self.selected: list[int] = []
        self._next = 1000
        self._capturing: list[Callable[[], None]] | None = None

    def __getattribute__(self, name: str) -> Any:
        attribute = object.__getattribute__(self, name)
        if not name.startswith("cuda") or not callable(attribute):
            return attribute

        def counted(*args: Any) -> Any:
            self.calls[name] += 1
            if name in self.failing:
                return (self.failing[name], None)
            value = attribute(*args)
            return (0,) if value is None else (0, value)

        return counted

    def cudaGetDeviceCount(self) -> int:
        return self.gpus

    def cudaGetErrorString(self, status: int) -> bytes:
        return _TEXTS[status]

    def cudaSetDevice(self, device: int) -> None:
        self.selected.append(device)

    def cudaGetDeviceProperties(self, device: int) -> Any:
        return SimpleNamespace(name=f"Stand-in GPU {device}".encode() + b"\0\0")

    def cudaMalloc(self, size: int) -> int:
        return self._allocate("device", size)

    def cudaMallocHost(self, size: int) -> int:
        return self._allocate("host", size)

    def cudaFree(self, address: int) -> None:
        del self.live["device"][address]

    def cudaFreeHost(self, address: int) -> None:
        del self.live["host"][address]

    def cudaStreamCreate(self) -> int:
        return self._new("stream", [])

    def cudaStreamDestroy(self, stream: int) -> None:
        del self.live["stream"][stream]

    def cudaStreamSynchronize(self, stream: int) -> None:
        assert self._capturing is None, "a stream that is capturing cannot be synchronised"
        waiting = self.live["stream"][stream]
        while waiting:
            waiting.pop(0)()

    def cudaEventCreate(self) -> int:
        return self._new("event", [])

    def cudaEventDestroy(self, event: int) -> None:
        del self.live["event"][event]

    def cudaEventRecord(self, event: int, stream: int) -> None:
        assert self._capturing is None, "a captured event tells no time"
        self.enqueue(stream, lambda: self.live["event"][event].append(time.perf_counter()))

    def cudaEventElapsedTime(self, start: int, end: int) -> float:
        begin, done = (self.live["event"][event][-1] for event in (start, end))
        return float(1e3 * (done - begin))

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        known = {**self.live["device"], **self.live["host"]}
        assert size <= known[target].nbytes
        assert size <= known[source].nbytes
        assert (target in self.live["device"]) == (kind == 1)
        self.enqueue(stream, lambda: ctypes.memmove(target, source, size))

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> None:
        self._capturing = []

    def cudaStreamEndCapture(self, stream: int) -> int:
        captured, self._capturing = self._capturing, None
        return self._new("graph", captured)

    def cudaGraphInstantiateWithFlags(self, graph: int, flags: int) -> int:
        return self._new("recording", self.live["graph"][graph])

    def cudaGraphDestroy(self, graph: int) -> None:
        del self.live["graph"][graph]

    def cudaGraphExecDestroy(self, recording: int) -> None:
        del self.live["recording"][recording]

    def cudaGraphLaunch(self, recording: int, stream: int) -> None:
        self.live["stream"][stream].extend(self.live["recording"][recording])

    @property
    def capturing(self) -> bool:
        """Whether work is being recorded."""
        return self._capturing is not None

    def enqueue(self, stream: int, work: Callable[[], Any]) -> None:
        """Queue work: it is done when the stream is synchronised, or recorded while capturing."""
        (self.live["stream"][stream] if self._capturing is None else self._capturing).append(work)

    def array(self, address: int, dtype: str, shape: tuple[int, ...]) -> Any:
        """Device memory as an array."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.live["device"][address][:size].view(dtype).reshape(shape)

    @property
    def leaks(self) -> dict[str, int]:
        """How much of each kind is still allocated."""
        return {kind: len(entries) for kind, entries in self.live.items() if entries}

    def _allocate(self, kind: str, size: int) -> int:
        memory = np.full(size, 0xAB, np.uint8)  # never zero by chance
        self.live[kind][memory.ctypes.data] = memory
        return int(memory.ctypes.data)

    def _new(self, kind: str, value: Any) -> int:
        self._next += 1
        self.live[kind][self._next] = value
        return self._next


def make_plan(version: str = "8.6.1", *, tag: bytes = b"ptrt", **changes: Any) -> bytes:
    """A plan of the stand-in: image uint8 (1..4, 2, 2, 1) → scores float32 (1..4, 3)."""
    table: dict[str, Any] = {
        "version": version,
        "inputs": [["image", "UINT8", [-1, 2, 2, 1]]],
        "outputs": [["scores", "FLOAT", [-1, 3]]],
        "profile": {"image": [[1, 2, 2, 1], [1, 2, 2, 1], [4, 2, 2, 1]]},
        "matrix": [[0.25, 0.5, 0.75]] * 4,  # the mean, once, twice and three times
        "bias": [0.0, 0.0, 0.0],
        "layers": [],
        "format": "LINEAR",
        "location": "DEVICE",
    }
    return tag + json.dumps({**table, **changes}).encode()


class _Engine:
    def __init__(self, module: TensorRTStandIn, table: dict[str, Any]) -> None:
        self.module, self.table = module, table
        self.tensors = {entry[0]: entry for entry in table["inputs"] + table["outputs"]}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self.module.TensorIOMode
        return modes.INPUT if name in [entry[0] for entry in self.table["inputs"]] else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return DataType[self.tensors[name][1]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name][2])

    def get_tensor_location(self, name: str) -> Any:
        return self.module.TensorLocation[self.table["location"]]

    def get_tensor_format(self, name: str) -> Any:
        return self.module.TensorFormat[self.table["format"]]

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[list[int]]:
        assert profile == 0
        return self.table["profile"][name]

    def create_engine_inspector(self) -> Any:
        text = json.dumps({"Layers": self.table["layers"]})
        return SimpleNamespace(get_engine_information=lambda kind: text)

    def create_execution_context(self, config: Any = None) -> Any:
        if self.module.out_of_memory:
            self.module.logger.log(self.module.ILogger.ERROR, "OutOfMemory: no room for the context")
            return None
        self.module.config = config
        return _Context(self)


class _NewerEngine(_Engine):
    """From TensorRT 10 on there is a runtime configuration; RTX's also has a CUDA-graph strategy."""

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(cuda_graph_strategy=None) if self.module.rtx else SimpleNamespace()


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine, self.module = engine, engine.module
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.profiler: Any = None

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.table["profile"].get(name, [self.engine.get_tensor_shape(name)] * 3)
        fits = all(a <= extent <= b for a, extent, b in zip(low, shape, high, strict=True))
        if fits and not self.module.refuse_shapes:
            self.shapes[name] = tuple(shape)
            return True
        self.module.logger.log(self.module.ILogger.ERROR, f"{name}: {shape} outside of the profile")
        return False

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.shapes:
            return self.shapes[name]
        batch = next(iter(self.shapes.values()))[0]
        return tuple(
            batch if axis == 0 and extent < 0 else extent
            for axis, extent in enumerate(self.engine.get_tensor_shape(name))
        )

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address in self.module.cudart.live["device"]
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if self.module.refuse_runs:
            self.module.logger.log(self.module.ILogger.ERROR, "the kernel image is not for this device")
            return False
        assert self.profiler is None or not self.module.cudart.capturing, "they exclude each other"
        shapes = dict(self.shapes)
        self.module.cudart.enqueue(stream, lambda: self._compute(shapes))
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        assert shapes == self.shapes, "a recording was replayed after the shapes had changed"
        table = self.engine.table
        array = self._array(table["inputs"][0][0])
        answers = array.reshape(len(array), -1) @ np.asarray(table["matrix"]) + np.asarray(table["bias"])
        for name, _, _ in table["outputs"]:
            self._array(name)[...] = answers
        if self.profiler is not None:
            for number, layer in enumerate(table["layers"]):
                name = layer["Name"] if isinstance(layer, dict) else layer
                self.profiler.report_layer_time(name, 0.25 * (number + 1))

    def _array(self, name: str) -> Any:
        dtype = _NUMPY[self.engine.get_tensor_dtype(name).name]
        return self.module.cudart.array(self.addresses[name], dtype, self.get_tensor_shape(name))


class TensorRTStandIn:
    """The module `tensorrt` (or `tensorrt_rtx`) as far as an adapter uses it, 8.6 by default."""

    DataType = DataType
    TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")
    TensorLocation = enum.Enum("TensorLocation", "DEVICE HOST")
    TensorFormat = enum.Enum("TensorFormat", "LINEAR CHW32")
    LayerInformationFormat = enum.Enum("LayerInformationFormat", "ONELINE JSON")
    CudaGraphStrategy = enum.Enum("CudaGraphStrategy", "DISABLED WHOLE_GRAPH_CAPTURE")

    class IProfiler:
        """TensorRT calls `report_layer_time` of a subclass."""

    class ILogger:
        """Severities, the lower the worse."""

        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

    def __init__(self, cudart: CudartStandIn, version: str = "8.6.1", rtx: bool = False) -> None:
        self.cudart, self.__version__, self.rtx = cudart, version, rtx
        self.logger: Any = None
        self.config: Any = None
        self.out_of_memory = self.refuse_shapes = self.refuse_runs = False

    def Runtime(self, logger: Any) -> Any:
        self.logger = logger
        return SimpleNamespace(deserialize_cuda_engine=self._deserialise)

    def _deserialise(self, plan: bytes) -> _Engine | None:
        table = json.loads(plan[4:])
        if table["version"] != self.__version__:
            self.logger.log(self.ILogger.WARNING, "only a warning")
            self.logger.log(
                self.ILogger.ERROR,
                "IRuntime::deserializeCudaEngine: Error Code 1: the plan is of "
                "another version In readHeader at /src/runtime.cpp:48",
            )
            return None
        return (_Engine if self.__version__.startswith("8") else _NewerEngine)(self, table)


def install(
    monkeypatch: pytest.MonkeyPatch, version: str = "8.6.1", *, rtx: bool = False, gpus: int = 1
) -> TensorRTStandIn:
    """Put the stand-ins where the adapter imports TensorRT and CUDA from."""
    cudart = CudartStandIn(gpus)
    module = TensorRTStandIn(cudart, version, rtx)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx" if rtx else "tensorrt", module)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cudart)
    return module

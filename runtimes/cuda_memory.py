"""CUDA through NVIDIA's own binding: a checked call, a device, and a reusable pair of buffers."""

from __future__ import annotations

import ctypes
from importlib import import_module
from typing import Any

import numpy as np

from runtimes.base import Array
from runtimes.errors import DeviceError, EngineError, EngineMissingError, UsageError

_SUCCESS = 0
# cuda-bindings (CUDA 12.8 and later), then cuda-python as JetPack 5 and 6 users have it.
_MODULES = ("cuda.bindings.runtime", "cuda.cudart")


class Cuda:
    """The CUDA runtime with every status looked at.

    Attributes:
        api: The binding's module, for its enums.
        device: Index of the GPU in use.
        device_name: Its product name.
    """

    def __init__(self, api: Any, device: int) -> None:
        self.api = api
        self.device = device
        self.call("cudaSetDevice", device)
        self.device_name = _text(self.call("cudaGetDeviceProperties", device).name)

    def call(self, function: str, *args: Any) -> Any:
        """Call a CUDA function and return its value (a tuple when it has several).

        Raises:
            EngineError: CUDA reported anything but success.
        """
        status, *values = getattr(self.api, function)(*args)
        if int(status) != _SUCCESS:
            raise EngineError(
                f"CUDA call {function}",
                got=_reason(self.api, status),
                expected="success",
                fix="Free GPU memory or use a smaller batch; if it stays, restart the process.",
            )
        return values[0] if len(values) == 1 else tuple(values)


class Buffer:
    """A page-locked host buffer and a device buffer of the same size, grown only when asked for more."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.capacity_bytes = 0
        self.host = 0
        self.device = 0

    def reserve(self, size_bytes: int) -> None:
        """Make room for `size_bytes`; both addresses may change, and what was held is lost."""
        if size_bytes <= self.capacity_bytes:
            return
        self.free()
        self.host = int(self._cuda.call("cudaMallocHost", size_bytes))
        self.device = int(self._cuda.call("cudaMalloc", size_bytes))
        self.capacity_bytes = size_bytes

    def view(self, dtype: str, shape: tuple[int, ...]) -> Array:
        """The start of the host buffer as an array. Valid until the buffer grows or is freed."""
        raw = (ctypes.c_uint8 * size_of(dtype, shape)).from_address(self.host)
        return np.ctypeslib.as_array(raw).view(dtype).reshape(shape)

    def free(self) -> None:
        """Give both halves back. Harmless when there are none."""
        host, device = self.host, self.device
        self.host = self.device = self.capacity_bytes = 0
        try:
            if host:
                self._cuda.call("cudaFreeHost", host)
        finally:
            if device:
                self._cuda.call("cudaFree", device)


def size_of(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of an array."""
    return int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))


def open_cuda(device: int = 0) -> Cuda:
    """Select a GPU.

    Raises:
        UsageError: `device` is not an index.
        EngineMissingError: No CUDA binding is installed.
        DeviceError: There is no driver, no GPU, or no GPU of that index.
    """
    if not isinstance(device, int) or isinstance(device, bool) or device < 0:
        raise UsageError(
            "Option 'device'",
            got=repr(device),
            expected="a GPU index from 0",
            fix="Leave it out for the first GPU.",
        )
    api = _load()
    count, reason = _count(api)
    if count == 0:
        raise DeviceError(
            "GPU",
            got=reason,
            expected="an NVIDIA GPU with its driver",
            fix="Install the driver, or use the .onnx or .pte artifact on this machine.",
        )
    if device >= count:
        raise DeviceError(
            f"GPU {device}",
            got=f"{count} on this machine",
            expected=f"an index below {count}",
            fix="Choose another with device=…",
        )
    return Cuda(api, device)


def gpu_count() -> int:
    """How many GPUs CUDA can use here; 0 without a driver.

    Raises:
        EngineMissingError: No CUDA binding is installed.
    """
    return _count(_load())[0]


def _load() -> Any:
    for name in _MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise EngineMissingError(
        "Package cuda-bindings",
        got="no such package",
        expected="NVIDIA's Python binding of CUDA",
        fix="Run: pip install 'edgewright[tensorrt-rtx]'; "
        "on a Jetson: pip install cuda-bindings, of the CUDA version that JetPack has.",
    )


def _count(api: Any) -> tuple[int, str]:
    status, count = api.cudaGetDeviceCount()
    if int(status) != _SUCCESS:
        return 0, _reason(api, status)
    return int(count), "none"


def _reason(api: Any, status: Any) -> str:
    _, text = api.cudaGetErrorString(status)
    return _text(text)


def _text(raw: Any) -> str:
    return raw.decode(errors="replace").rstrip("\0") if isinstance(raw, bytes) else str(raw)

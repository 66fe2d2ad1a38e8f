"""The native route into ExecuTorch: its C++ runtime through the shim, by ctypes. No torch."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes.base import Array
from runtimes.executorch_abi import INTEGER, REAL, TENSOR, TRUTH, RawEvent, Value, load_shim
from runtimes.executorch_shim import find_package
from runtimes.executorch_types import DTYPES, MethodInfo, TensorMeta

if TYPE_CHECKING:
    from runtimes.executorch_profile import Event

_MESSAGE_BYTES = 1024
_TYPE_NUMBERS = {np.dtype(name): number for number, name in DTYPES.items()}


class NativeMethod:
    """One loaded method. Calls must take turns; `close` before the program it is of."""

    def __init__(self, shim: ctypes.CDLL, program: NativeProgram, name: str, profiled: bool) -> None:
        self._handle: ctypes.c_void_p | None = None
        self._shim = shim
        self._program = program  # its bytes and its handle stay as long as the method
        self._message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        handle = ctypes.c_void_p()
        done = shim.edgewright_load(
            program.handle, name.encode(), profiled, ctypes.byref(handle), self._message, _MESSAGE_BYTES
        )
        self._done(done)
        self._handle = handle
        given, found = (shim.edgewright_arity(program.handle, name.encode(), side) for side in (0, 1))
        self._given, self._found = (Value * given)(), (Value * found)()

    def execute(self, inputs: Sequence[Array]) -> list[Any]:
        """Run once.

        Args:
            inputs: C-contiguous arrays, one per input.

        Returns:
            Per output an array of its own, or a number.

        Raises:
            RuntimeError: What ExecuTorch says.
        """
        if len(inputs) != len(self._given):
            raise RuntimeError(f"{len(inputs)} inputs instead of {len(self._given)}")
        for value, array in zip(self._given, inputs, strict=True):
            _fill(value, array)
        self._done(
            self._shim.edgewright_run(
                self._handle,
                self._given,
                len(self._given),
                self._found,
                len(self._found),
                self._message,
                _MESSAGE_BYTES,
            )
        )
        return [_read(value) for value in self._found]

    def time(self, inputs: Sequence[Array]) -> list[Event]:
        """The events of one run of a profiled method, in the order in which they began."""
        self.execute(inputs)
        return self._events()

    def close(self) -> None:
        """Give its memory back."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._shim.edgewright_unload(handle)

    def __del__(self) -> None:
        self.close()

    def _events(self) -> list[Event]:
        from runtimes.executorch_profile import Event  # not needed to predict

        raw, found = RawEvent(), []
        for index in range(self._shim.edgewright_events(self._handle)):
            self._shim.edgewright_event_at(self._handle, index, ctypes.byref(raw))
            found.append(
                Event(
                    raw.name.decode("utf-8", "replace"),
                    raw.instruction,
                    bool(raw.in_delegate),
                    (raw.end_ns - raw.start_ns) / 1e6,
                )
            )
        self._shim.edgewright_clear_events(self._handle)
        return found

    def _done(self, code: int) -> None:
        if code:
            raise RuntimeError(self._message.value.decode("utf-8", "replace"))


class NativeProgram:
    """One program, loaded with every check that ExecuTorch has.

    Args:
        data: A complete `.pte`; kept as long as the program.

    Raises:
        EngineMissingError: executorch or the shim is not there.
        RuntimeError: ExecuTorch refuses the program.
    """

    route = "native"

    def __init__(self, data: bytes) -> None:
        self.handle: ctypes.c_void_p | None = None
        package = find_package()
        self.version = package.version
        self._shim = load_shim(package)
        self._data = np.frombuffer(data, np.uint8)
        message, handle = ctypes.create_string_buffer(_MESSAGE_BYTES), ctypes.c_void_p()
        code = self._shim.edgewright_open(
            self._data.ctypes.data, self._data.size, ctypes.byref(handle), message, _MESSAGE_BYTES
        )
        if code:
            raise RuntimeError(message.value.decode("utf-8", "replace"))
        self.handle = handle

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of its methods."""
        names = (
            self._shim.edgewright_method_name(self.handle, index)
            for index in range(self._shim.edgewright_methods(self.handle))
        )
        return tuple(name.decode("utf-8", "replace") for name in names if name is not None)

    def describe(self, name: str) -> MethodInfo:
        """What it says of one method, without loading it.

        Raises:
            RuntimeError: There is no such method.
        """
        sides = []
        for outputs in (0, 1):
            arity = self._shim.edgewright_arity(self.handle, name.encode(), outputs)
            if arity < 0:
                raise RuntimeError(f"no method {name!r}")
            sides.append(tuple(self._meta(name, outputs, index) for index in range(arity)))
        return MethodInfo(sides[0], sides[1], tuple(dict.fromkeys(self._delegates(name))))

    def load(self, name: str, *, profiled: bool = False) -> NativeMethod:
        """Load one method.

        Raises:
            RuntimeError: What ExecuTorch says.
        """
        return NativeMethod(self._shim, self, name, profiled)

    def set_threads(self, threads: int) -> None:
        """Size of the process's pool of threads, while nothing runs."""
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        if self._shim.edgewright_set_threads(threads, message, _MESSAGE_BYTES):
            raise RuntimeError(message.value.decode("utf-8", "replace"))

    def facts(self) -> dict[str, Any]:
        """Threads of the process's pool."""
        return {"threads": int(self._shim.edgewright_threads())}

    def close(self) -> None:
        """Give its memory back. Its methods must be closed."""
        handle, self.handle = self.handle, None
        if handle is not None:
            self._shim.edgewright_close(handle)

    def __del__(self) -> None:
        self.close()

    def _meta(self, name: str, outputs: int, index: int) -> TensorMeta | None:
        value, message = Value(), ctypes.create_string_buffer(_MESSAGE_BYTES)
        if self._shim.edgewright_describe(
            self.handle, name.encode(), outputs, index, ctypes.byref(value), message, _MESSAGE_BYTES
        ):
            return None
        return TensorMeta(value.dtype, tuple(value.sizes[: value.rank]))

    def _delegates(self, name: str) -> Iterator[str]:
        for index in itertools.count():
            delegate = self._shim.edgewright_delegate(self.handle, name.encode(), index)
            if delegate is None:
                return
            yield delegate.decode("utf-8", "replace")


def _fill(value: Value, array: Array) -> None:
    value.kind = TENSOR
    value.dtype = _TYPE_NUMBERS[array.dtype]
    value.rank = array.ndim
    value.sizes[: array.ndim] = array.shape
    value.data = array.__array_interface__["data"][0]
    value.bytes = array.nbytes


def _read(value: Value) -> Any:
    if value.kind == INTEGER:
        return value.integer
    if value.kind == TRUTH:
        return bool(value.integer)
    if value.kind == REAL:
        return value.real
    name = DTYPES.get(value.dtype)
    if value.kind != TENSOR or name is None:
        raise RuntimeError("an output that is no array of numbers")
    shape = tuple(value.sizes[: value.rank])
    array = np.empty(shape, name)
    if value.bytes != array.nbytes or (value.data is None and value.bytes):
        raise RuntimeError("an output without its memory")
    if value.contiguous:
        ctypes.memmove(array.__array_interface__["data"][0], value.data, value.bytes)
        return array
    memory = (ctypes.c_uint8 * value.bytes).from_address(value.data)
    steps = tuple(stride * array.itemsize for stride in value.strides[: value.rank])
    array[...] = np.ndarray(shape, name, memory, strides=steps)
    return array

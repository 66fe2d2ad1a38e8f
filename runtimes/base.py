"""The one `Runtime` class: named arrays in, named arrays out.

The public `run()` validates every call once and answers a wrong one with given, expected and fix.
An adapter implements `_open()`, `_run()` and `_close()` and may trust what it is handed.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes.errors import EngineError, InputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtimes.layer_times import Lap, LayerTime

    Array = NDArray[Any]
else:
    Array = np.ndarray  # numpy.typing is not needed to predict
MAIN_GRAPH = "main"


@dataclass(frozen=True)
class Dim:
    """A dimension that may vary from call to call.

    Attributes:
        min: Smallest extent that is accepted.
        max: Largest extent that is accepted; None when there is no bound.
    """

    min: int = 1
    max: int | None = None

    def __contains__(self, extent: int) -> bool:
        return self.min <= extent and (self.max is None or extent <= self.max)

    def __str__(self) -> str:
        return f"{self.min}+" if self.max is None else f"{self.min}..{self.max}"


@dataclass(frozen=True)
class TensorInfo:
    """Name, dtype and shape of one input or output.

    Attributes:
        name: The name by which `run()` takes or returns the array.
        dtype: The numpy name of the element type, such as ``uint8`` or ``float32``.
        shape: An extent per axis: a number, or a `Dim` where it may vary.
    """

    name: str
    dtype: str
    shape: tuple[int | Dim, ...]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of `shape` fits."""
        if len(shape) != len(self.shape):
            return False
        # A plain loop: this is part of every prediction, and generators cost microseconds.
        for extent, want in zip(shape, self.shape):  # noqa: B905 - lengths are equal
            if extent != want and (isinstance(want, int) or extent not in want):
                return False
        return True

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(str(extent) for extent in self.shape)})"


@dataclass(frozen=True)
class Program:
    """What an adapter opens: bytes whose hash was checked, and what is known of them.

    Attributes:
        data: The engine's own format, complete; empty where there is a `path`.
        graph: Which of the program's graphs to run.
        inputs: Declared inputs in call order; empty when only the engine knows them.
        outputs: Declared outputs in return order; empty when only the engine knows them.
        network: For formats that hold weights alone: the ``name`` and ``arguments`` of the builder
            that makes the network they belong to.
        path: Under which an engine that reads files finds the bytes while it opens the program, not later.
        again: Gives the bytes later on, read and checked again.
    """

    data: bytes
    graph: str = MAIN_GRAPH
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    network: Mapping[str, Any] | None = field(default=None)
    path: str | None = None
    again: Callable[[], bytes] | None = field(default=None, compare=False)

    def read(self) -> bytes:
        """The bytes, wherever they are."""
        return self.again() if self.again is not None and not self.data else self.data


class Runtime(ABC):
    """One loaded graph in one engine. A context manager; `close()` may be called twice.

    Every runtime may be called from several threads: where the engine itself does not allow that
    (`concurrent` is False), calls take turns.
    """

    name: ClassVar[str]
    concurrent: ClassVar[bool] = False
    tells_phases: ClassVar[bool] = False

    phases_wanted: bool = False
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __init__(self) -> None:
        self._closed = False
        self._turn: AbstractContextManager[Any] = nullcontext() if self.concurrent else threading.Lock()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once.

        Args:
            inputs: One array per name in `self.inputs`, of exactly its dtype and shape. Floats must
                not hold NaN. The arrays are only read.

        Returns:
            One array per name in `self.outputs`. They are the caller's: later calls do not touch them.

        Raises:
            InputError: A name, dtype, shape or value does not fit.
            EngineError: The runtime is closed, or the engine failed.
        """
        ready = self._validate(inputs)
        with self._turn:
            self._require_open()
            return self._run(ready)

    @classmethod  # noqa: B027 - an engine need not
    def import_engine(cls) -> None:
        """Import the engine's package, if it is there, while something else is waited for."""

    def report(self) -> dict[str, Any]:
        """Facts for people and logs: engine, version, device, threads, precision and the like."""
        return {"engine": self.name}

    def last_phases(self) -> dict[str, float] | None:
        """Parts of the last run by the device's own clock, in milliseconds: ``host_to_device``, ``compute``
        and ``device_to_host``. Taken only while `phases_wanted` is True, because taking them costs time;
        None without such a run, and for engines that cannot tell (`tells_phases` is False).
        """
        return None

    def profile(self, inputs: Mapping[str, Array], runs: int = 10) -> tuple[LayerTime, ...]:
        """Where the time of a run goes, by the engine's own profiler.

        Profilers cost time: the shares tell more than the sum, which is longer than a run is.

        Args:
            inputs: As `run` takes them.
            runs: How many runs to average over, after one to warm up.

        Returns:
            The layers in the order in which they run.

        Raises:
            InputError: A name, dtype, shape or value does not fit.
            UsageError: This engine has no profiler, or `runs` is not a whole number from 1.
            EngineError: The runtime is closed, or the profiler failed.
        """
        from runtimes.layer_times import engine_profile, layer_times  # not needed to predict

        if not isinstance(runs, int) or runs < 1:
            raise UsageError(
                "Option 'runs'", got=repr(runs), expected="a whole number from 1", fix="Leave it out for 10."
            )
        ready = self._validate(inputs)
        with self._turn:
            self._require_open()
            with engine_profile(self.name):
                return layer_times(self._profile(ready, runs), runs)

    def close(self) -> None:
        """Give the engine's memory back. Later calls of `run()` raise `EngineError`."""
        with self._turn:
            if not self._closed:
                self._closed = True
                self._close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run validated, C-contiguous arrays, in the order of `self.inputs`."""

    def _profile(self, inputs: dict[str, Array], runs: int) -> list[Lap]:  # noqa: ARG002
        """Time the layers of `runs` runs, after one that is not counted."""
        raise UsageError(
            f"{self.name} runtime",
            got="a call of profile()",
            expected="an engine with a profiler of layers",
            fix="Profile the .onnx or .pte artifact of the same checkpoint.",
        )

    @abstractmethod
    def _close(self) -> None:
        """Release what was opened. Called once."""

    def _require_open(self) -> None:
        if self._closed:
            raise EngineError(
                f"{self.name} runtime",
                got="a call after close()",
                expected="an open runtime",
                fix="Open it again, or move the call inside the with-block.",
            )

    def _validate(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if not isinstance(inputs, Mapping) or set(inputs) != {info.name for info in self.inputs}:
            given = sorted(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
            wanted = [info.name for info in self.inputs]
            raise InputError(
                "Inputs",
                got=f"{given}",
                expected=f"a mapping with exactly {wanted}",
                fix="Pass one array per name.",
            )
        return {info.name: _checked(info, inputs[info.name]) for info in self.inputs}


def _checked(info: TensorInfo, array: Array) -> Array:
    if not isinstance(array, np.ndarray):
        raise _mismatch(info, type(array).__name__, "Use np.asarray(…).")
    if array.dtype != info.dtype:
        raise _mismatch(info, _given(array), f"Use .astype(np.{info.dtype}).")
    if not info.accepts(array.shape):
        raise _mismatch(info, _given(array), "Reshape it, or feed as many at a time as the shape allows.")
    # min() carries a NaN through and needs no temporary of the array's size.
    if array.dtype.kind == "f" and array.size and np.isnan(array.min()):
        raise _mismatch(
            info, f"{_given(array)} with NaN", "Remove the NaN with np.nan_to_num, or mend its source."
        )
    # Not for what is in order already: it would give a scalar an axis.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _given(array: Array) -> str:
    return f"{array.dtype} {array.shape}"


def _mismatch(info: TensorInfo, got: str, fix: str) -> InputError:
    return InputError(f"Input '{info.name}'", got=got, expected=str(info), fix=fix)


def threads_or_error(threads: int | None) -> int | None:
    """`threads` as it is when None or positive; `UsageError` otherwise."""
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise UsageError(
            "Option 'threads'",
            got=repr(threads),
            expected="None (the engine decides) or a whole number from 1",
            fix="Leave it out for the engine's own choice.",
        )
    return threads

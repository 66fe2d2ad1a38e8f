"""`.pte` in ExecuTorch: through the native shim where it is built, else through Python and torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from runtimes.base import MAIN_GRAPH, Array, Program, Runtime, TensorInfo, threads_or_error
from runtimes.errors import EngineError, EngineMissingError, UsageError, first_line
from runtimes.executorch_native import NativeProgram
from runtimes.executorch_shim import BUILD_COMMAND
from runtimes.executorch_types import MethodInfo, TensorMeta

if TYPE_CHECKING:
    from runtimes.executorch_python import PythonProgram
    from runtimes.layer_times import Lap

FORWARD = "forward"
DELEGATED_NODES, ALL_NODES = "edgewright_delegated_nodes", "edgewright_all_nodes"
"""Constant methods that export adds; ExecuTorch itself cannot tell after lowering."""
_T = TypeVar("_T")


class ExecuTorchRuntime(Runtime):
    """One method of an ExecuTorch program; calls from several threads take turns.

    A `.pte` names neither its inputs nor its outputs and knows only the largest extent of a varying
    dimension, so names and bounds are those that the program's contract declares, checked against what the
    program itself says. Without a contract they are ``input_0``, ``output_0`` and so on.

    Args:
        program: A complete `.pte`. Graph ``main`` is its method ``forward``.
        threads: Threads of the delegate; None leaves the process's setting. It is a setting of the whole
            process: change it while nothing runs.
        native: True: the C++ runtime through the shim, or an error. False: the Python runtime, which imports
            torch. None: the shim where it is built; `report` says which it is, and why.

    Raises:
        EngineMissingError: executorch is not installed, or the shim that was asked for is not built.
        EngineError: ExecuTorch refuses the program, or it has no such method.
    """

    name = "executorch"

    def __init__(self, program: Program, *, threads: int | None = None, native: bool | None = None) -> None:
        super().__init__()
        threads_or_error(threads)
        self._name = FORWARD if program.graph == MAIN_GRAPH else program.graph
        self._program: NativeProgram | PythonProgram
        self._program, self._why = _open(program.data, _route_or_error(native))
        try:
            if threads is not None:
                _said(lambda: self._program.set_threads(threads), "such a pool", "Ask for fewer threads.")
            info = _loaded(lambda: self._program.describe(self._name))
            self.inputs = _signature("input", info.inputs, program.inputs)
            self.outputs = _signature("output", info.outputs, program.outputs)
            self._method = _loaded(lambda: self._program.load(self._name))
        except BaseException:
            self._program.close()
            raise

    @property
    def delegated_fraction(self) -> float | None:
        """Share of the graph's nodes that a delegate such as XNNPACK runs, from 0 to 1.

        Undelegated nodes run about ten times slower. None for programs that other tools exported.
        """
        with self._turn:  # nobody may close it meanwhile
            self._require_open()
            if not {DELEGATED_NODES, ALL_NODES} <= set(self._program.methods):
                return None
            delegated, nodes = (self._constant(name) for name in (DELEGATED_NODES, ALL_NODES))
        return delegated / nodes if nodes else 0.0

    def report(self) -> dict[str, Any]:
        """Engine, version, route into it and the reason for that route, delegated fraction and threads."""
        self._require_open()
        return {
            "engine": self.name,
            "version": self._program.version,
            "route": self._program.route,
            "route_reason": self._why,
            "delegated_fraction": self.delegated_fraction,
            **self._program.facts(),
        }

    def _constant(self, name: str) -> int:
        method = _loaded(lambda: self._program.load(name))
        try:
            (value,) = _loaded(lambda: method.execute(()))
        finally:
            method.close()
        if not isinstance(value, int):
            raise EngineError(
                f"ExecuTorch constant '{name}'",
                got=type(value).__name__,
                expected="a whole number",
                fix="Export the checkpoint again.",
            )
        return value

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        try:
            outputs = self._method.execute(list(inputs.values()))
        except RuntimeError as error:
            raise EngineError(
                "ExecuTorch",
                got=first_line(error),
                expected="a completed run",
                fix="Check the input shapes against the program.",
            ) from error
        return {info.name: array for info, array in zip(self.outputs, outputs, strict=True)}

    def _profile(self, inputs: dict[str, Array], runs: int) -> list[Lap]:
        from runtimes.executorch_profile import laps_of

        if not isinstance(self._program, NativeProgram):
            raise UsageError(
                "ExecuTorch profile",
                got=f"the Python route ({self._why})",
                expected="the native shim, which has the recorder",
                fix=f"Run: {BUILD_COMMAND}.",
            )
        arrays = list(inputs.values())
        # A second copy of the method: one with the recorder in it is slower.
        method = self._program.load(self._name, profiled=True)
        delegates = self._program.describe(self._name).delegates or ()
        named = " or ".join(sorted({name.removesuffix("Backend") for name in delegates})) or "none"
        try:
            method.time(arrays)  # to warm up
            return [lap for _ in range(runs) for lap in laps_of(method.time(arrays), named)]
        finally:
            method.close()

    def _close(self) -> None:
        self._method.close()
        self._program.close()


def read_methods(data: bytes, *, native: bool | None = None) -> dict[str, MethodInfo]:
    """What a `.pte` says of its methods, none of which is loaded: by name.

    Args:
        data: A complete `.pte`, whose hash was checked where it has one.
        native: As `ExecuTorchRuntime` takes it.

    Raises:
        EngineMissingError: executorch is not installed, or the shim that was asked for is not built.
        EngineError: ExecuTorch refuses the program.
    """
    program, _ = _open(data, _route_or_error(native))
    try:
        return {name: _loaded(partial(program.describe, name)) for name in program.methods}
    finally:
        program.close()


def _route_or_error(native: bool | None) -> bool | None:
    if native is not None and not isinstance(native, bool):
        raise UsageError(
            "Option 'native'",
            got=repr(native),
            expected="True, False, or None (the shim where it is built)",
            fix="Leave it out for the best that is there.",
        )
    return native


def _open(data: bytes, native: bool | None) -> tuple[NativeProgram | PythonProgram, str]:
    """The program by the route that was asked for, or by the best that is there; and why that one."""
    if native is False:
        return _open_in_python(data), "asked for"
    try:
        return _loaded(lambda: NativeProgram(data)), "asked for" if native else "the shim is built"
    except EngineMissingError as error:
        if native:
            raise
        return _open_in_python(data), f"{error.subject}: {error.got}"


def _open_in_python(data: bytes) -> PythonProgram:
    from runtimes.executorch_python import PythonProgram

    return _loaded(lambda: PythonProgram(data))


def _loaded(work: Callable[[], _T]) -> _T:
    return _said(
        work,
        "a program that this ExecuTorch can load",
        "Export it again with this executorch, or update executorch.",
    )


def _said(work: Callable[[], _T], expected: str, fix: str) -> _T:
    """What `work` returns; the RuntimeError of either route as an `EngineError`."""
    try:
        return work()
    except RuntimeError as error:
        raise EngineError("ExecuTorch program", got=first_line(error), expected=expected, fix=fix) from error


def _signature(
    side: str, metas: tuple[TensorMeta | None, ...], declared: tuple[TensorInfo, ...]
) -> tuple[TensorInfo, ...]:
    known = [meta for meta in metas if meta is not None]
    if len(known) < len(metas):
        raise EngineError(
            f"ExecuTorch {side} {metas.index(None)}",
            got="something that is not a tensor",
            expected="tensors alone",
            fix="Export a network that takes and returns tensors.",
        )
    found = tuple(TensorInfo(f"{side}_{i}", meta.dtype, meta.sizes) for i, meta in enumerate(known))
    if not declared:
        return found
    for want, meta, real in zip(declared, known, found, strict=False):
        fits = want.dtype == real.dtype and want.accepts(meta.sizes)
        if len(declared) != len(found) or not fits:
            raise EngineError(
                f"ExecuTorch {side} '{want.name}'",
                got=f"{real} ({len(found)} in all)",
                expected=f"{want} ({len(declared)} in all), as the contract says",
                fix="Export the checkpoint again.",
            )
    return declared

"""`.pte` in ExecuTorch, through its Python runtime (which imports torch)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from runtimes.base import MAIN_GRAPH, Array, Program, Runtime, TensorInfo, threads_or_error
from runtimes.errors import EngineError, EngineMissingError, first_line

FORWARD = "forward"
DELEGATED_NODES, ALL_NODES = "edgewright_delegated_nodes", "edgewright_all_nodes"
"""Constant methods that export adds; ExecuTorch itself cannot tell after lowering."""

# ScalarType numbers of ExecuTorch's runtime/core/portable_type/scalar_type.h.
_DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}


class ExecuTorchRuntime(Runtime):
    """One method of an ExecuTorch program; calls from several threads take turns.

    A `.pte` names neither its inputs nor its outputs and knows only the largest extent of a varying
    dimension, so names and bounds are those that the program's contract declares, checked against what the
    program itself says. Without a contract they are ``input_0``, ``output_0`` and so on.

    Args:
        program: A complete `.pte`. Graph ``main`` is its method ``forward``.
        threads: Threads of the delegate; None leaves the process's setting. It is a setting of the whole
            process: change it while nothing runs.

    Raises:
        EngineMissingError: executorch is not installed.
        EngineError: ExecuTorch refuses the program, or it has no such method.
    """

    name = "executorch"

    def __init__(self, program: Program, *, threads: int | None = None) -> None:
        super().__init__()
        engine = _import_executorch()
        if threads_or_error(threads) is not None:
            # The Python runtime has no public way to size its thread pool (executorch 1.5).
            from executorch.extension.pybindings import portable_lib

            portable_lib._unsafe_reset_threadpool(threads)
        method = FORWARD if program.graph == MAIN_GRAPH else program.graph
        try:
            # InternalConsistency: with minimal verification, damaged programs crash the process.
            self._program = engine.Runtime.get().load_program(
                program.data, verification=engine.Verification.InternalConsistency
            )
            if method not in self._program.method_names:
                raise RuntimeError(f"no method {method!r}")
            meta = self._program.metadata(method)
            self._method = self._program.load_method(method)
        except RuntimeError as error:
            raise EngineError(
                "ExecuTorch program",
                got=first_line(error),
                expected="a program that this ExecuTorch can load",
                fix="Export it again with this executorch, or update executorch.",
            ) from error
        inputs = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
        self.inputs = _signature("input", inputs, program.inputs)
        self.outputs = _signature("output", outputs, program.outputs)

    @property
    def delegated_fraction(self) -> float | None:
        """Share of the graph's nodes that a delegate such as XNNPACK runs, from 0 to 1.

        Undelegated nodes run about ten times slower. None for programs that other tools exported.
        """
        self._require_open()
        if not {DELEGATED_NODES, ALL_NODES} <= set(self._program.method_names):
            return None
        delegated, nodes = (
            int(self._program.load_method(name).execute(())[0]) for name in (DELEGATED_NODES, ALL_NODES)
        )
        return delegated / nodes if nodes else 0.0

    def report(self) -> dict[str, Any]:
        """Engine, version and delegated fraction."""
        from importlib.metadata import version

        return {
            "engine": self.name,
            "version": version("executorch"),
            "delegated_fraction": self.delegated_fraction,
        }

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        import torch

        tensors = tuple(torch.from_numpy(a if a.flags.writeable else a.copy()) for a in inputs.values())
        try:
            outputs = self._method.execute(tensors)
        except RuntimeError as error:
            raise EngineError(
                "ExecuTorch",
                got=first_line(error),
                expected="a completed run",
                fix="Check the input shapes against the program.",
            ) from error
        arrays = (output.numpy().copy() for output in outputs)
        return {info.name: array for info, array in zip(self.outputs, arrays, strict=True)}

    def _close(self) -> None:
        del self._method, self._program


def _import_executorch() -> Any:
    try:
        # It warns at every import that its interface may change; our versions are pinned.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import executorch.runtime
    except ImportError as error:
        raise EngineMissingError(
            "Engine executorch",
            got=f"no usable package ({first_line(error)})",
            expected="executorch, which opens .pte",
            fix="Run: pip install 'edgewright[executorch]'.",
        ) from error
    return executorch.runtime


def _signature(side: str, metas: Sequence[Any], declared: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
    found = tuple(
        TensorInfo(f"{side}_{i}", _DTYPES.get(meta.dtype(), f"type {meta.dtype()}"), tuple(meta.sizes()))
        for i, meta in enumerate(metas)
    )
    if not declared:
        return found
    for want, real in zip(declared, found, strict=False):
        fits = want.dtype == real.dtype and want.accepts(tuple(int(str(extent)) for extent in real.shape))
        if len(declared) != len(found) or not fits:
            raise EngineError(
                f"ExecuTorch {side} '{want.name}'",
                got=f"{real} ({len(found)} in all)",
                expected=f"{want} ({len(declared)} in all), as the contract says",
                fix="Export the checkpoint again.",
            )
    return declared

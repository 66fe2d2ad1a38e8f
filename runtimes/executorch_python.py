"""The Python route into ExecuTorch: its own bindings, which import torch. For where there is no shim."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from runtimes.base import Array
from runtimes.errors import EngineMissingError, first_line
from runtimes.executorch_shim import find_package
from runtimes.executorch_types import MethodInfo, TensorMeta


class PythonMethod:
    """One loaded method. Calls must take turns."""

    def __init__(self, program: Any, name: str) -> None:
        self._method = program.load_method(name)

    def execute(self, inputs: Sequence[Array]) -> list[Any]:
        """Run once.

        Args:
            inputs: C-contiguous arrays, one per input.

        Returns:
            Per output an array of its own, or a number.

        Raises:
            RuntimeError: What ExecuTorch says.
        """
        import torch

        tensors = tuple(torch.from_numpy(a if a.flags.writeable else a.copy()) for a in inputs)
        outputs = self._method.execute(tensors)
        return [value.numpy().copy() if isinstance(value, torch.Tensor) else value for value in outputs]

    def close(self) -> None:
        """Give its memory back."""
        self._method = None


class PythonProgram:
    """One program, loaded with every check that ExecuTorch has.

    Args:
        data: A complete `.pte`.

    Raises:
        EngineMissingError: executorch is not installed.
        RuntimeError: ExecuTorch refuses the program.
    """

    route = "python"

    def __init__(self, data: bytes) -> None:
        engine = import_executorch()
        self.version = find_package().version
        # InternalConsistency: with minimal verification, damaged programs crash the process.
        self._program = engine.Runtime.get().load_program(
            data, verification=engine.Verification.InternalConsistency
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of its methods."""
        return tuple(self._program.method_names)

    def describe(self, name: str) -> MethodInfo:
        """What it says of one method, without loading it.

        Raises:
            RuntimeError: There is no such method.
        """
        if name not in self.methods:
            raise RuntimeError(f"no method {name!r}")
        meta = self._program.metadata(name)
        inputs = tuple(_meta(meta.input_tensor_meta, index) for index in range(meta.num_inputs()))
        outputs = tuple(_meta(meta.output_tensor_meta, index) for index in range(meta.num_outputs()))
        return MethodInfo(inputs, outputs, None)

    def load(self, name: str) -> PythonMethod:
        """Load one method.

        Raises:
            RuntimeError: What ExecuTorch says.
        """
        return PythonMethod(self._program, name)

    def set_threads(self, threads: int) -> None:
        """Size of the process's pool of threads, while nothing runs."""
        # The Python runtime has no public way to size its thread pool (executorch 1.5).
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(threads)

    def facts(self) -> dict[str, Any]:
        """Threads of the process's pool."""
        from executorch.extension.pybindings import portable_lib

        return {"threads": portable_lib._threadpool_get_thread_count()}

    def close(self) -> None:
        """Give its memory back."""
        self._program = None


def _meta(of: Callable[[int], Any], index: int) -> TensorMeta | None:
    try:
        found = of(index)
    except IndexError:  # what it raises for a number
        return None
    return TensorMeta(int(found.dtype()), tuple(found.sizes()))


def import_executorch() -> Any:
    """The package `executorch.runtime`.

    Raises:
        EngineMissingError: It is not installed.
    """
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

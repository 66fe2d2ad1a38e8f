"""`.onnx` in ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from runtimes.base import Array, Dim, Program, Runtime, TensorInfo, threads_or_error
from runtimes.errors import DeviceError, EngineError, EngineMissingError, UsageError, first_line

if TYPE_CHECKING:
    from runtimes.layer_times import Lap

CPU = "CPUExecutionProvider"
SPINNING = {
    "never": {"session.intra_op.allow_spinning": "0"},
    "running": {"session.force_spinning_stop": "1"},
    "always": {},
}
"""ONNX Runtime's session entries by what its threads do while they wait."""
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(uint32)": "uint32",
    "tensor(int32)": "int32",
    "tensor(uint64)": "uint64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class OnnxRuntime(Runtime):
    """One ONNX graph in one ONNX Runtime session. Calls from several threads run at the same time.

    Args:
        program: A complete ONNX model.
        threads: Threads inside one operator; None for one per physical core.
        providers: Execution providers in order of preference. All of them must be there: ONNX Runtime
            itself would go on without the missing ones, on another device than was asked for.
        spinning: When its threads wait by burning their core instead of sleeping: ``never``; while a graph
            is ``running``; or ``always``, ONNX Runtime's own choice, which goes on for 70 ms after each
            run, against decoding and everything else. Measured in docs/runtime-options.md.

    Raises:
        UsageError: An option makes no sense.
        EngineMissingError: onnxruntime is not installed.
        DeviceError: A provider is not in this build, or did not start.
        EngineError: ONNX Runtime refuses the model.
    """

    name = "onnxruntime"
    concurrent = True

    def __init__(
        self,
        program: Program,
        *,
        threads: int | None = None,
        providers: Sequence[str] = (CPU,),
        spinning: str = "running",
    ) -> None:
        super().__init__()
        _require_spinning(spinning)
        ort = _import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads_or_error(threads) or 0
        for entry, value in SPINNING[spinning].items():
            options.add_session_config_entry(entry, value)
        options.log_severity_level = 4  # fatal only: failures are raised, once, as one line
        _require_providers(providers, ort.get_available_providers())
        try:
            self._session = ort.InferenceSession(
                program.path or program.data, options, providers=list(providers)
            )
        except Exception as error:  # ONNX Runtime's exceptions share no narrower base class
            raise EngineError(
                "ONNX model",
                got=first_line(error),
                expected="a model ONNX Runtime can load",
                fix="Export it again, or update onnxruntime.",
            ) from error
        _require_providers(providers, self._session.get_providers())
        self._program = program  # for a profile
        self.inputs = tuple(_info(node) for node in self._session.get_inputs())
        self.outputs = tuple(_info(node) for node in self._session.get_outputs())
        self._names = [info.name for info in self.outputs]
        self._version = ort.__version__
        self._options = {"threads": threads or "engine default", "spinning": spinning}

    @classmethod
    def import_engine(cls) -> None:
        """Import onnxruntime; where it is missing, opening a program says so."""
        with suppress(EngineMissingError):
            _import_onnxruntime()

    def report(self) -> dict[str, Any]:
        """Engine, version, providers in use, and the options it was opened with."""
        self._require_open()
        return {
            "engine": self.name,
            "version": self._version,
            "providers": self._session.get_providers(),
            **self._options,
        }

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        try:
            arrays = self._session.run(self._names, inputs)
        except Exception as error:
            raise EngineError(
                "ONNX Runtime",
                got=first_line(error),
                expected="a completed run",
                fix="Check the input values against the model.",
            ) from error
        return dict(zip(self._names, arrays, strict=True))

    def _profile(self, inputs: dict[str, Array], runs: int) -> list[Lap]:
        from runtimes.onnx_profile import profile_session

        return profile_session(_import_onnxruntime(), self._session, self._program.read(), inputs, runs)

    def _close(self) -> None:
        del self._session, self._program


def _require_spinning(spinning: str) -> None:
    if spinning not in SPINNING:
        raise UsageError(
            "Option 'spinning'", got=repr(spinning), expected=f"one of {list(SPINNING)}", fix="Choose one."
        )


def _import_onnxruntime() -> Any:
    # Version 1.31 writes events for its maker into ~/.cache; whoever wants that sets the variable to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineMissingError(
            "Engine onnxruntime",
            got=f"no usable package ({first_line(error)})",
            expected="onnxruntime, which opens .onnx",
            fix="Run: pip install 'edgewright[onnx]'.",
        ) from error
    return onnxruntime


def _require_providers(asked: Sequence[str], there: Sequence[str]) -> None:
    missing = [provider for provider in asked if provider not in there]
    if missing or not asked:
        raise DeviceError(
            "Execution provider",
            got=missing[0] if missing else "an empty list",
            expected=f"only what this onnxruntime can start here: {list(there)}",
            fix="Ask for one of these, or install the onnxruntime build for the device.",
        )


def _info(node: Any) -> TensorInfo:
    if node.type not in _DTYPES:
        raise EngineError(
            f"ONNX tensor {node.name!r}",
            got=node.type,
            expected="a tensor of numbers",
            fix="Models with sequences or maps are not supported.",
        )
    shape = tuple(extent if isinstance(extent, int) else Dim() for extent in node.shape)
    return TensorInfo(node.name, np.dtype(_DTYPES[node.type]).name, shape)

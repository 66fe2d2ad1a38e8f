"""Finding TensorRT: which of its two packages made a plan, importing it, and hearing what it says.

``tensorrt`` (8.6 to 11; JetPack brings it on a Jetson) and ``tensorrt_rtx`` have the same interface,
but neither opens the other's plans. Shared by the runtime and the builder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from runtimes.errors import EngineError, EngineMissingError, UsageError, first_line

TENSORRT = "tensorrt"
TENSORRT_RTX = "tensorrt_rtx"
PACKAGES = (TENSORRT, TENSORRT_RTX)

# Every plan starts with a four-letter tag. "vtrt" is what TensorRT-RTX 1.7 writes and asks for.
_TAG_END = b"trt"
_RTX_TAG = b"vtrt"

_INSTALL = {
    TENSORRT: "On a Jetson it comes with JetPack (make the virtual environment with "
    "--system-site-packages); elsewhere run: pip install 'edgewright[tensorrt]'.",
    TENSORRT_RTX: "Run: pip install 'edgewright[tensorrt-rtx]'.",
}
# Numpy has no bfloat16, FP8 or 4-bit types: such an input or output cannot be fed from it.
_NUMPY_NAMES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
_ERRORS_KEPT = 20


@dataclass(frozen=True)
class Package:
    """One imported TensorRT.

    Attributes:
        name: ``tensorrt`` or ``tensorrt_rtx``.
        module: The module, known as ``trt`` elsewhere.
        log: The one logger of the process: TensorRT keeps the first that it is given.
    """

    name: str
    module: Any
    log: Any

    @property
    def version(self) -> str:
        """Such as ``10.3.0``."""
        return str(self.module.__version__)

    def complaint(self) -> str:
        """The first error logged since the last time this was asked, in short."""
        errors, self.log.errors[:] = list(self.log.errors), []
        return shortened(errors[0]) if errors else "no reason given"


_LOADED: dict[str, Package] = {}


def load_package(name: str) -> Package:
    """Import ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        UsageError: `name` is neither.
        EngineMissingError: It is not installed, or its libraries do not load.
    """
    if name not in PACKAGES:
        raise UsageError(
            "Option 'package'",
            got=repr(name),
            expected=f"one of {list(PACKAGES)}",
            fix="Leave it out to go by the plan's tag.",
        )
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(name, "no such package") from error
    except (ImportError, OSError, RuntimeError) as error:  # a shared library that does not load
        raise _missing(name, first_line(error)) from error
    if name not in _LOADED or _LOADED[name].module is not module:
        _LOADED[name] = Package(name, module, _log(module))
    return _LOADED[name]


def maker_of(plan: bytes) -> str:
    """Which package made a plan, by the tag that it starts with.

    Raises:
        EngineError: It is no TensorRT plan.
    """
    if plan[1:4] != _TAG_END:
        raise EngineError(
            "TensorRT plan",
            got=f"{len(plan)} bytes starting with {plan[:4]!r}",
            expected="a serialised TensorRT engine",
            fix="Run `edgewright build MODEL.onnx` on this device.",
        )
    return TENSORRT_RTX if plan[:4] == _RTX_TAG else TENSORRT


def numpy_name(data_type: Any) -> str:
    """The numpy name of a TensorRT `DataType`; its own name in lower case where numpy has none."""
    return _NUMPY_NAMES.get(data_type.name, str(data_type.name).lower())


def shortened(message: str) -> str:
    """A TensorRT message without the places in TensorRT's own sources, on one line."""
    text = re.sub(r"\s*\(?\b[Ii]n (function )?\w+ at \S+:\d+\)?", "", message)
    text = re.sub(r"^\w+::\w+: Error Code \d+: ", "", " ".join(text.split()))
    return text if len(text) <= 240 else f"{text[:237]}..."


def _missing(name: str, reason: str) -> EngineMissingError:
    return EngineMissingError(
        f"Package {name}", got=reason, expected=f"an importable {name}", fix=_INSTALL[name]
    )


def _log(trt: Any) -> Any:
    """A logger that keeps errors for `Package.complaint` and prints nothing."""
    base: Any = trt.ILogger

    class ErrorLog(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            serious = severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)
            if serious and len(self.errors) < _ERRORS_KEPT:
                self.errors.append(msg)

    return ErrorLog()

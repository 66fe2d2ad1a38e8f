"""One file per engine behind one small `Runtime` class: named arrays in, named arrays out.

Importing this package needs numpy alone. An engine is imported when a program is opened in it.
"""

from runtimes.base import MAIN_GRAPH, Array, Dim, Program, Runtime, TensorInfo
from runtimes.errors import (
    ArtifactError,
    DataError,
    DeviceError,
    EdgewrightError,
    EngineError,
    EngineMissingError,
    InputError,
    ProofError,
    SpecError,
    UsageError,
)
from runtimes.registry import RUNTIMES, entry_for, open_runtime

__all__ = [
    "MAIN_GRAPH",
    "RUNTIMES",
    "Array",
    "ArtifactError",
    "DataError",
    "DeviceError",
    "Dim",
    "EdgewrightError",
    "EngineError",
    "EngineMissingError",
    "InputError",
    "Program",
    "ProofError",
    "Runtime",
    "SpecError",
    "TensorInfo",
    "UsageError",
    "entry_for",
    "open_runtime",
]

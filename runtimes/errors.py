"""Every error that Edgewright raises on purpose.

    EdgewrightError                 exit code 2: bad usage or input
    ├── UsageError                  an option or argument that cannot be honoured
    ├── InputError                  an image, array or text that cannot be predicted on
    ├── DataError                   a data set that cannot be trained or proved on
    ├── SpecError                   a contract that contradicts itself, or of another version
    ├── ArtifactError               a file that is not what it says: truncated, altered, foreign
    ├── EngineError                 a native engine refused a verified program, or failed running it
    │   ├── EngineMissingError      the engine's package is not installed
    │   └── DeviceError             the provider or GPU that was asked for is not there
    └── ProofError                  exit code 1: measured, and found outside its budget

Each one says what was given, what was expected, and how to fix it, in one line.
"""

from __future__ import annotations

from typing import ClassVar


class EdgewrightError(Exception):
    """Base of the tree. `str(error)` is always a single line.

    Args:
        subject: What the error is about, such as ``Input 'image'`` or a file name.
        got: What was given.
        expected: What would have been accepted.
        fix: What the user can do about it, as a sentence.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, subject: str, *, got: str, expected: str, fix: str) -> None:
        self.subject = _one_line(subject)
        self.got = _one_line(got)
        self.expected = _one_line(expected)
        self.fix = _one_line(fix)
        super().__init__(f"{self.subject}: got {self.got}, expected {self.expected}. {self.fix}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.subject, self.got, self.expected, self.fix)


class UsageError(EdgewrightError):
    """An option or argument that cannot be honoured."""


class InputError(EdgewrightError):
    """Something that was to be predicted on cannot be."""


class DataError(EdgewrightError):
    """A data set that cannot be trained or proved on."""


class SpecError(EdgewrightError):
    """A contract that contradicts itself, or that another version wrote."""


class ArtifactError(EdgewrightError):
    """A file that is not what it says: truncated, altered or foreign."""


class EngineError(EdgewrightError):
    """A native engine refused a verified program, or failed while running it."""


class EngineMissingError(EngineError):
    """The engine's Python package is not installed."""


class DeviceError(EngineError):
    """The execution provider or the GPU that was asked for is not there."""


class ProofError(EdgewrightError):
    """Something was measured and found outside its budget."""

    exit_code: ClassVar[int] = 1


def first_line(error: BaseException) -> str:
    """The first non-empty line of a foreign error, for use inside `got`."""
    for line in str(error).splitlines():
        if line.strip():
            return line.strip().rstrip(".")
    return type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _rebuild(kind: type[EdgewrightError], subject: str, got: str, expected: str, fix: str) -> EdgewrightError:
    return kind(subject, got=got, expected=expected, fix=fix)

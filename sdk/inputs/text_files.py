"""Texts as people hand them over: strings, UTF-8 bytes, files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtimes import InputError

LARGEST_FILE_BYTES = 64 * 1024**2
"""A larger file is refused unread: it is hardly one text."""
TEXT_SUFFIX = ".txt"
_LONGEST_NAME = 256
"""Characters; a longer word is no path on any system."""


def decode_text(item: Any) -> str:
    """The text of one item.

    Args:
        item: A string, which is the text itself; UTF-8 bytes; or a path (`os.PathLike`) of a UTF-8 file. A
            byte-order mark at the beginning is left out.

    Raises:
        InputError: It is something else, no UTF-8, or a file that cannot be read.
    """
    if isinstance(item, str):
        return _without_surrogates(item)
    if isinstance(item, bytes):
        return _decoded(item, "Text")
    if isinstance(item, os.PathLike):
        return _decoded(_read(Path(item)), f"Text {Path(item).name!r}")
    raise InputError(
        "Text",
        got=type(item).__name__,
        expected="a string, UTF-8 bytes, or the path of a text file",
        fix="Pass the text itself, or pathlib.Path(…) of its file.",
    )


def texts_named(given: Sequence[str], *, lines: bool = False) -> list[tuple[str, Any]]:
    """What words on a command line mean: files that are there, the files of folders, else texts themselves.

    Args:
        given: The words.
        lines: Every line of a file that is not blank is a text of its own.

    Returns:
        What each text is called, and the item.

    Raises:
        InputError: A file ends in ``.txt`` and is not there, cannot be read, or a folder holds no files.
    """
    from sdk.input_files import files_in

    named: list[tuple[str, Any]] = []
    for word in given:
        # Empty, it would mean the folder one is in; long, asking for it would be an error of the system's.
        path = Path(word) if 0 < len(word) < _LONGEST_NAME and "\0" not in word else None
        if path is not None and (path.exists() or path.suffix == TEXT_SUFFIX):
            for file in files_in([path]):
                named += _lines_of(file) if lines else [(str(file), file)]
        else:
            named.append((word, word))
    return named


def _lines_of(path: Path) -> list[tuple[str, Any]]:
    found = decode_text(path).splitlines()
    return [(f"{path}:{number}", line) for number, line in enumerate(found, 1) if line.strip()]


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise InputError(f"Text {path.name!r}", got=f"{size / 1024**2:.0f} MB",
                             expected=f"at most {LARGEST_FILE_BYTES // 1024**2} MB",
                             fix="Cut it into texts, one per file or line.")  # fmt: skip
        return path.read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise InputError(
            f"Text {path.name!r}",
            got="no such file" if missing else f"a file that cannot be read ({error.strerror})",
            expected="a UTF-8 text file",
            fix="Check the path.",
        ) from error


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            what,
            got=f"byte 0x{data[error.start]:02x} at {error.start}, which is no UTF-8",
            expected="text in UTF-8",
            fix="Convert it, for example with iconv -f latin1 -t utf-8.",
        ) from error


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "Text",
            got=f"half a character (a surrogate) at {error.start}",
            expected="text in UTF-8",
            fix="Decode it as what it is; a command line takes the terminal's encoding.",
        ) from error
    return text

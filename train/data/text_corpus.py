"""Plain text to learn a language from: one file, or folders of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes import DataError, InputError
from sdk.inputs.text_files import TEXT_SUFFIX, decode_text
from train.tasks.base import Split

PARTS = ("train", "val", "test")
HELD_OUT_EVERY = 10
"""Without a ``val`` part, every tenth document is held out; of fewer than ten, the last tenth of each."""
_CHUNK_CHARACTERS = 1024
"""Of an item where no tokenizer says how much a network reads at once."""


@dataclass(frozen=True)
class TextCorpus:
    """Documents by part.

    Attributes:
        root: Where they lie.
        parts: Texts of ``train`` and of whatever else there is.
        fold: Of a cross-validation: which fold, of how many; None divides once.
    """

    root: Path
    parts: dict[str, tuple[str, ...]]
    fold: tuple[int, int] | None = None

    def documents(self, part: str) -> tuple[str, ...]:
        """The texts of ``train``, ``val`` or ``test``; ``val`` is held out of ``train`` where there is none.

        Raises:
            DataError: There is no such part, or nothing in it.
        """
        if part == "test" and part not in self.parts:
            raise DataError(
                f"Data {self.root.name!r}",
                got="no test part",
                expected=f"one of {sorted({*self.parts, 'val'})}",
                fix="Add one, or use its val part.",
            )
        if part != "test" and self.fold is not None:
            kept, held = fold_of((*self.parts["train"], *self.parts.get("val", ())), *self.fold)
            found = held if part == "val" else kept
        elif part == "test" or "val" in self.parts:
            found = self.parts[part]
        else:
            kept, held = hold_out(self.parts["train"])
            found = held if part == "val" else kept
        if not any(text.strip() for text in found):
            raise DataError(
                f"Data {self.root.name!r}, part {part!r}",
                got="no text",
                expected="text to learn from",
                fix="Check the files.",
            )
        return found


def open_corpus(data: Path, fold: tuple[int, int] | None = None) -> TextCorpus:
    """The text at `data`.

    Args:
        data: A text file; a folder of ``.txt`` files; or a folder with parts: ``train.txt`` or a folder
            ``train``, and likewise ``val`` and ``test``.
        fold: See `TextCorpus`.

    Raises:
        DataError: There is none, or a file is no UTF-8.
    """
    if not data.exists():
        raise DataError(f"Data {data.name!r}", got="nothing there", expected="text files",
                        fix="Check the path.")  # fmt: skip
    if data.is_file():
        return TextCorpus(data, {"train": (_read(data),)}, fold)
    parts = {part: files for part in PARTS if (files := _part_files(data, part))}
    if parts and "train" not in parts:
        raise DataError(f"Data {data.name!r}", got=f"parts {sorted(parts)}", expected="train among them",
                        fix="Name the training text train.txt, or put it into a folder train.")  # fmt: skip
    files = parts or {"train": _text_files(data)}
    if not files["train"]:
        raise DataError(f"Data {data.name!r}", got=f"no {TEXT_SUFFIX} files", expected="text files in UTF-8",
                        fix="Put the text into .txt files.")  # fmt: skip
    return TextCorpus(data, {part: tuple(map(_read, paths)) for part, paths in files.items()}, fold)


def hold_out(documents: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Documents, or parts of them, to learn from, and those to judge on; always the same."""
    if len(documents) >= HELD_OUT_EVERY:
        last = HELD_OUT_EVERY - 1
        kept = tuple(text for at, text in enumerate(documents) if at % HELD_OUT_EVERY != last)
        return kept, tuple(documents[last::HELD_OUT_EVERY])
    cuts = [_cut_before(text, len(text) - len(text) // HELD_OUT_EVERY) for text in documents]
    kept = tuple(text[:cut] for text, cut in zip(documents, cuts, strict=True))
    return kept, tuple(text[cut:] for text, cut in zip(documents, cuts, strict=True))


def fold_of(documents: Sequence[str], at: int, folds: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Documents to learn from and those held out by one fold, from 1; of few documents, a block of each."""
    if len(documents) >= max(folds, HELD_OUT_EVERY):
        kept = tuple(text for row, text in enumerate(documents) if row % folds != at - 1)
        return kept, tuple(documents[at - 1 :: folds])
    around: list[str] = []
    held: list[str] = []
    for text in documents:
        begin, end = (_cut_before(text, len(text) * cut // folds) if 0 < cut < folds else
                      len(text) * (cut == folds) for cut in (at - 1, at))  # fmt: skip
        around += [part for part in (text[:begin], text[end:]) if part]
        held.append(text[begin:end])
    return tuple(around), tuple(held)


def split_of(documents: Sequence[str], name: str, tokenizer: Any = None, context: int = 0) -> Split:
    """Documents as a split whose items follow each other in the text.

    Args:
        documents: The texts.
        name: Of the part.
        tokenizer: Of a network, of the `tokenizers` library; None cuts by characters.
        context: Most tokens of an item.

    Returns:
        Items are strings that put together give the documents again; the target of each tells whether a
        document ends with it.
    """
    items: list[str] = []
    ends: list[bool] = []
    digest = hashlib.sha256()
    for text in documents:
        digest.update(f"{len(text)}:".encode() + text.encode())
        windows = [window for window in _windows(text, tokenizer, context) if window]
        items += windows
        ends += [False] * (len(windows) - 1) + [True] * bool(windows)
    return Split(name, items, ends, (), digest.hexdigest())


def _windows(text: str, tokenizer: Any, context: int) -> Iterator[str]:
    """A text in pieces, cut before a space where one is in reach, so that a piece has the tokens that its
    characters have in the text.
    """
    if tokenizer is None:
        starts = list(range(len(text)))
        context = _CHUNK_CHARACTERS
    else:
        starts = [begin for begin, _ in tokenizer.encode(text, add_special_tokens=False).offsets]
    at = 0
    while at < len(starts):
        end = min(at + context, len(starts))
        if end < len(starts):
            end = _before_space(text, starts, at, end)
        yield text[starts[at] if at else 0 : starts[end] if end < len(starts) else len(text)]
        at = end


def _before_space(text: str, starts: Sequence[int], at: int, end: int) -> int:
    """The last token from `end` backwards that begins with a space behind something else; at most half of the
    window is given up for it. Otherwise the first that begins a character.
    """
    for cut in range(end, at + (end - at) // 2, -1):
        here = starts[cut]
        if text[here].isspace() and not text[here - 1].isspace():
            return cut
    while end > at + 1 and starts[end] == starts[end - 1]:
        end -= 1
    return end


def _cut_before(text: str, at: int) -> int:
    """Where the line that character `at` is in begins; `at` itself where that is the first line."""
    line = text.rfind("\n", 0, at) + 1
    return line or at


def _part_files(data: Path, part: str) -> list[Path]:
    file, folder = data / f"{part}{TEXT_SUFFIX}", data / part
    return ([file] if file.is_file() else []) + (_text_files(folder) if folder.is_dir() else [])


def _text_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob(f"*{TEXT_SUFFIX}") if path.is_file())


def _read(path: Path) -> str:
    try:
        return decode_text(path)
    except InputError as error:
        raise DataError(error.subject, got=error.got, expected=error.expected, fix=error.fix) from error

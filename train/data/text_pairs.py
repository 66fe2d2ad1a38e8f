"""Pairs of texts in tables: what is read, and what is to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes import DataError
from train.data.text_tables import SPLITS, Columns, find_tables, read_rows

HELD_OUT_SHARE = 0.1
_OPTIONS = "--source-column and --target-column"


@dataclass(frozen=True)
class TextPairs:
    """Sources, each with its target.

    Attributes:
        sources: What is read.
        targets: What is to be written, blanks in a row as one.
    """

    sources: Sequence[str]
    targets: Sequence[str]

    def sha256(self) -> str:
        """Hash over all pairs in order."""
        digest = hashlib.sha256()
        for source, target in zip(self.sources, self.targets, strict=True):
            digest.update(f"{source}\0{target}\0".encode())
        return digest.hexdigest()


class PairTables:
    """A table with a row per pair, or a folder of one for each of ``train``, ``val`` and ``test``.

    Args:
        data: A file, which is all training data, or a folder.
        source: Name of the sources' column, or its number from 1; None is the first, or
            ``source`` in JSON lines.
        target: Likewise; None is the second, or ``target``.

    Raises:
        DataError: There is no such file.
    """

    def __init__(self, data: Path, source: str | None = None, target: str | None = None) -> None:
        self._data = data
        self._chosen = source, target
        self._files = find_tables(data)
        self.splits = tuple(split for split in SPLITS if split in self._files)

    def read(self, split: str) -> TextPairs:
        """One split. Where there is no ``val``, a tenth of the targets is held out for it, always the same
        one, with every source of theirs: what was learned can then not be remembered.

        Raises:
            DataError: There is no such split, or a row is not as the others.
        """
        if split in self._files and (split != "train" or "val" in self._files):
            return self._table(split)
        if split == "test":
            raise DataError(f"Data {self._data.name!r}", got="no test table",
                            expected=f"one of {self.splits}", fix="Add one.")  # fmt: skip
        whole = self._table("train")
        held = _held_out(whole.targets)
        rows = [row for row, target in enumerate(whole.targets) if (target in held) == (split == "val")]
        if not rows:
            raise DataError(f"Data {self._data.name!r}", got="a single target",
                            expected="at least two different ones", fix="Add pairs.")  # fmt: skip
        return TextPairs([whole.sources[row] for row in rows], [whole.targets[row] for row in rows])

    def _table(self, split: str) -> TextPairs:
        path = self._files[split]
        names = ("source", "target") if path.suffix.lower() == ".jsonl" else ("1", "2")
        first, second = (given or name for given, name in zip(self._chosen, names, strict=True))
        rows = read_rows(path, Columns(first, second, options=_OPTIONS))
        return TextPairs([source for source, _ in rows], [one_spaced(target) for _, target in rows])


def one_spaced(text: str) -> str:
    """The text with a blank for every run of white space, and none at its ends."""
    return " ".join(text.split())


def _held_out(targets: Sequence[str]) -> set[str]:
    """The share of the different targets that comes first when they are ordered by a hash."""
    order = sorted(set(targets), key=lambda target: hashlib.sha256(target.encode()).digest())
    return set(order[: max(1, round(HELD_OUT_SHARE * len(order)))])

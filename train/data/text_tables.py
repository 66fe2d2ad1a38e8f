"""Labelled texts in tables: TSV, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtimes import Array, DataError
from train.data.labelled_items import LabelledItems

SUFFIXES = (".tsv", ".csv", ".jsonl")
SPLITS = ("train", "val", "test")
_FILE = re.compile(r"(?:(?P<prefix>.*)[_.-])?(?P<split>train|val|test)")
_LONGEST_FIELD = 64 * 1024**2


@dataclass(frozen=True)
class Columns:
    """Where a table holds what.

    Attributes:
        text: Name of the texts' column, or its number from 1.
        label: Name of the labels' column, or its number from 1.
        header: Whether the first row of a TSV or CSV names the columns; None: it does where `text` or `label`
            is a name.
        options: How a person says which, for messages.
    """

    text: str = "text"
    label: str = "label"
    header: bool | None = None
    options: str = "--text-column and --label-column"

    @property
    def has_header(self) -> bool:
        """Whether a first row of names is there."""
        return self.header if self.header is not None else not (self.text.isdigit() and self.label.isdigit())


class TextTables:
    """One table with a row per text, or a folder of one for each of ``train``, ``val`` and ``test``.

    Args:
        data: A file, which is all training data, or a folder with files such as ``train.tsv`` or
            ``movie_train.tsv``.
        columns: Where they hold what.
        names: What the labels are called from now on, in the order of the labels as the table has them
            (numbers by value, words by alphabet); empty to keep them.

    Raises:
        DataError: There is no such file, a row is not as the others, or holds no text or label.
    """

    def __init__(self, data: Path, columns: Columns | None = None, names: Sequence[str] = ()) -> None:
        self._data = data
        self._columns = columns or Columns()
        self._files = find_tables(data)
        self.splits = tuple(split for split in SPLITS if split in self._files)
        self._rows = {split: read_rows(path, self._columns) for split, path in self._files.items()}
        self._own = _labels_of([label for _, label in self._rows["train"]], data)
        self._labels = self._named(tuple(names))

    def read(self, split: str) -> LabelledItems:
        """One split, in the order of its rows.

        Raises:
            DataError: It has a label that ``train`` has not.
        """
        rows = self._rows[split]
        number = {label: at for at, label in enumerate(self._own)}
        strange = next((label for _, label in rows if label not in number), None)
        if strange is not None:
            raise DataError(
                f"Data {self._files[split].name!r}",
                got=f"label {strange!r}",
                expected=f"those of the training data: {', '.join(self._own[:5])}",
                fix="Correct the row, or add such texts to the training data.",
            )
        texts = [text for text, _ in rows]
        targets: Array = np.array([number[label] for _, label in rows], np.int64)
        return LabelledItems(texts, targets, self._labels, lambda at: texts[at].encode())

    def _named(self, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            return self._own
        if len(names) != len(self._own) or len(set(names)) != len(names):
            raise DataError(
                f"Data {self._data.name!r}",
                got=f"{len(names)} class names for labels {', '.join(self._own[:5])}",
                expected=f"{len(self._own)} different ones",
                fix="Correct --class-names.",
            )
        return names


def find_tables(data: Path) -> dict[str, Path]:
    """A table, as ``train``, or those of a folder by split.

    Raises:
        DataError: There is none, or two of one split.
    """
    if data.is_file():
        if data.suffix.lower() not in SUFFIXES:
            kinds = ", ".join(SUFFIXES)
            raise DataError(f"Data {data.name!r}", got=f"a {data.suffix or 'nameless kind of'} file",
                            expected=f"one of {kinds}", fix="Save the table as one.")  # fmt: skip
        return {"train": data}
    found: dict[str, list[Path]] = {}
    for path in sorted(data.iterdir()) if data.is_dir() else []:
        match = _FILE.fullmatch(path.stem) if path.suffix.lower() in SUFFIXES else None
        if match:
            found.setdefault(match["split"], []).append(path)
    twice = next((paths for paths in found.values() if len(paths) > 1), None)
    if twice or "train" not in found:
        got = f"{twice[0].name} and {twice[1].name}" if twice else "no training table"
        raise DataError(
            f"Data {data.name!r}",
            got=got if data.is_dir() else "no such file or folder",
            expected="a table, or a folder with one train, and perhaps one val and test, such as train.tsv",
            fix="Check --data.",
        )
    return {split: paths[0] for split, paths in found.items()}


def _labels_of(labels: list[str], data: Path) -> tuple[str, ...]:
    known = set(labels)
    if len(known) < 2:
        raise DataError(f"Data {data.name!r}", got=f"{len(known)} class in {len(labels)} rows",
                        expected="at least two classes", fix="Check --label-column.")  # fmt: skip
    numbers = all(re.fullmatch(r"-?\d+", label) for label in known)
    return tuple(sorted(known, key=int)) if numbers else tuple(sorted(known))


def read_rows(path: Path, columns: Columns) -> list[tuple[str, str]]:
    """Texts and labels of a table, every one of them checked.

    Raises:
        DataError: It cannot be read, or a row is not as the others, or holds no text or label.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"Data {path.name!r}", got=str(error.strerror), expected="a file that can be read",
                        fix="Check its permissions.") from error  # fmt: skip
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"Data {path.name!r}, line {row}",
            got=f"byte 0x{error.object[error.start]:02x}, which is no UTF-8",
            expected="a table in UTF-8",
            fix="Convert it, for example with iconv -f latin1 -t utf-8.",
        ) from error
    rows = _json_rows if path.suffix.lower() == ".jsonl" else _table_rows
    found = []
    for number, text, label in rows(path, lines, columns):
        if not text.strip() or not label.strip():
            raise DataError(
                f"Data {path.name!r}, line {number}",
                got=f"an empty {'text' if not text.strip() else 'label'}",
                expected="a text and a label in every row",
                fix="Complete or remove the row.",
            )
        found.append((text, label.strip()))
    if not found:
        raise DataError(f"Data {path.name!r}", got="no rows", expected="a text and a label in every row",
                        fix="Check the file.")  # fmt: skip
    return found


def _table_rows(path: Path, lines: str, columns: Columns) -> Iterator[tuple[int, str, str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    tabs = path.suffix.lower() == ".tsv"
    # In tab-separated files quotes are characters like any other: reviews are full of them.
    how = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    reader = csv.reader(io.StringIO(lines, newline=""), **how)  # type: ignore[arg-type]
    places: tuple[int, ...] | None = None
    header: list[str] = []
    width = 0
    try:
        for row in reader:
            if not row:
                continue
            if places is None:
                header = row if columns.has_header else []
                width = len(row)
                places = tuple(
                    _place(path, name, columns, header, width) for name in (columns.text, columns.label)
                )
                if header:
                    continue
            if len(row) != width:
                raise DataError(
                    f"Data {path.name!r}, line {reader.line_num}",
                    got=f"{len(row)} columns",
                    expected=f"{width}, as in the first row",
                    fix="Complete the row; check what separates columns.",
                )
            yield reader.line_num, row[places[0]], row[places[1]]
    except csv.Error as error:
        where = f"Data {path.name!r}, line {reader.line_num}"
        raise DataError(where, got=str(error), expected="CSV as of RFC 4180",
                        fix="Mend the quotes, or save it as .tsv.") from error  # fmt: skip


def _place(path: Path, column: str, columns: Columns, header: list[str], width: int) -> int:
    if column in header:
        return header.index(column)
    if column.isdigit() and 1 <= int(column) <= width:
        return int(column) - 1
    there = f"columns {', '.join(header)[:120]}" if header else f"{width} columns"
    raise DataError(
        f"Data {path.name!r}",
        got=there,
        expected=f"a column {column!r}" if header else f"at least {column}",
        fix=f"Name the columns with {columns.options}, by number where there is no header.",
    )


def _json_rows(path: Path, lines: str, columns: Columns) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(lines.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            text, label = entry[columns.text], entry[columns.label]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"Data {path.name!r}, line {number}",
                got="no JSON object" if not isinstance(error, KeyError) else f"no key {error.args[0]!r}",
                expected=f"an object with {columns.text!r} and {columns.label!r}",
                fix=f"Name the keys with {columns.options}.",
            ) from error
        if not isinstance(text, str) or isinstance(label, (dict, list, float, type(None))):
            raise DataError(
                f"Data {path.name!r}, line {number}",
                got=f"{type(text).__name__} and {type(label).__name__}",
                expected="a string as text, and a string or whole number as label",
                fix="Correct the row.",
            )
        yield number, text, str(label)

"""Pairs of texts: columns, splits, and what is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtimes import DataError
from train.data.text_pairs import PairTables, TextPairs, one_spaced

PAIRS = [(f"say {number} {way}", f"{number:03d}") for number in range(30) for way in ("once", "again")]


def _write(path: Path, pairs: list[tuple[str, str]] = PAIRS) -> Path:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return path


def test_folder_has_its_own_splits(tmp_path: Path) -> None:
    for name, rows in (("train", PAIRS[:40]), ("val", PAIRS[40:50]), ("test", PAIRS[50:])):
        _write(tmp_path / f"{name}.tsv", rows)
    tables = PairTables(tmp_path)
    assert tables.splits == ("train", "val", "test")
    assert list(zip(tables.read("test").sources, tables.read("test").targets, strict=True)) == PAIRS[50:]
    assert len(tables.read("train").sources) == 40


def test_without_val_a_tenth_of_the_targets_is_held_out_whole(tmp_path: Path) -> None:
    tables = PairTables(_write(tmp_path / "pairs.tsv"))
    train, val = tables.read("train"), tables.read("val")
    assert len(set(val.targets)) == 3 and len(val.targets) == 6
    assert not set(train.targets) & set(val.targets)
    assert len(train.targets) + len(val.targets) == len(PAIRS)
    assert PairTables(tmp_path / "pairs.tsv").read("val").targets == val.targets


def test_columns_by_name_and_json_lines(tmp_path: Path) -> None:
    table = tmp_path / "named.csv"
    table.write_text('id,iso,said\n1,2024-05-03,"May 3rd, 2024"\n2,1999-01-01,New Year\n', encoding="utf-8")
    assert PairTables(table, "said", "iso").read("val").targets in (["2024-05-03"], ["1999-01-01"])
    lines = tmp_path / "pairs.jsonl"
    lines.write_text('{"source": "a", "target": "b  c "}\n{"source": "d", "target": "e"}\n', encoding="utf-8")
    tables = PairTables(lines)
    assert sorted([*tables.read("train").targets, *tables.read("val").targets]) == ["b c", "e"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only one column\n", r"Data 'pairs\.tsv'.*expected at least 2"),
        ("a\tb\nc\n", r"line 2: got 1 columns"),
        ("a\tb\n \tc\n", r"line 2: got an empty text"),
        ("", "got no rows"),
        ("a\tx\nb\tx\n", "got a single target, expected at least two different"),
    ],
    ids=["one column", "short row", "blank source", "empty file", "one target"],
)
def test_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        PairTables(path).read("train")


def test_invalid_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_bytes(b"a\tb\nc\xff\td\n")
    with pytest.raises(DataError, match="line 2: got byte 0xff"):
        PairTables(tmp_path / "pairs.tsv").read("train")


def test_missing_test_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got no test table"):
        PairTables(_write(tmp_path / "pairs.tsv")).read("test")


def test_hash_tells_pairs_apart() -> None:
    assert TextPairs(["a"], ["bc"]).sha256() != TextPairs(["ab"], ["c"]).sha256()
    assert TextPairs(["a"], ["b"]).sha256() == TextPairs(["a"], ["b"]).sha256()


def test_runs_of_white_space_count_as_one_blank() -> None:
    assert one_spaced(" a \t b\n") == "a b"

"""Tables of labelled texts: kinds of files, columns, names of classes, and what is wrong with a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtimes import DataError
from train.data.labelled_items import read_part
from train.data.text_tables import Columns, TextTables

ROWS = [("pos", 'a "fine" film'), ("neg", "dull, and long"), ("pos", "great"), ("neg", "awful")]
TSV = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in ROWS)
CSV = "text,label\n" + "".join('"{}",{}\n'.format(text.replace('"', '""'), label) for label, text in ROWS)
JSON_LINES = "".join(
    '{{"label": "{}", "text": "{}"}}\n\n'.format(label, text.replace('"', '\\"')) for label, text in ROWS
)


def table(tmp_path: Path, text: str | bytes, name: str = "train.tsv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.tsv", TSV),
        ("train.csv", CSV),
        ("train.jsonl", JSON_LINES),
        ("train.tsv", "\ufeff" + TSV.replace("\n", "\r\n")),
    ],
    ids=["tsv", "csv", "jsonl", "windows"],
)
def test_every_kind_of_table_holds_the_same(tmp_path: Path, name: str, text: str) -> None:
    texts = TextTables(table(tmp_path, text, name)).read("train")
    assert list(texts.items) == [text for _, text in ROWS]
    assert texts.labels == ("neg", "pos")
    assert texts.targets.tolist() == [1, 0, 1, 0]


def test_columns_are_found_by_other_names_and_by_number(tmp_path: Path) -> None:
    named = table(tmp_path, TSV.replace("label\ttext", "mood\treview"), "named.tsv")
    bare = table(tmp_path, TSV.partition("\n")[2], "bare.tsv")
    by_name = TextTables(named, Columns("review", "mood")).read("train")
    by_number = TextTables(bare, Columns("2", "1")).read("train")
    behind_a_header = TextTables(named, Columns("2", "1", header=True)).read("train")
    assert list(by_name.items) == list(by_number.items) == list(behind_a_header.items)


def test_labels_that_are_numbers_are_in_their_order_and_can_be_named(tmp_path: Path) -> None:
    path = table(tmp_path, "label\ttext\n10\tx\n9\ty\n-1\tz\n")
    assert TextTables(path).read("train").labels == ("-1", "9", "10")
    named = TextTables(path, names=("low", "middle", "high")).read("train")
    assert named.labels == ("low", "middle", "high")
    assert named.targets.tolist() == [2, 1, 0]
    with pytest.raises(DataError, match="got 2 class names for labels -1, 9, 10, expected 3 different ones"):
        TextTables(path, names=("low", "high"))


def test_a_folder_holds_a_table_per_split(tmp_path: Path) -> None:
    table(tmp_path, TSV, "movie_train.tsv")
    table(tmp_path, CSV, "movie_test.csv")
    (tmp_path / "README.md").write_text("nothing")
    source = TextTables(tmp_path)
    assert source.splits == ("train", "test")
    assert len(source.read("test").items) == 4


def test_without_a_val_table_part_of_every_class_is_held_out(tmp_path: Path) -> None:
    table(tmp_path, "label\ttext\n" + "".join(f"{'ab'[at % 2]}\ttext {at}\n" for at in range(40)))
    source = TextTables(tmp_path)
    train, val = (read_part(source, tmp_path, name, 1) for name in ("train", "val"))
    assert set(train.items).isdisjoint(val.items)
    assert (len(train.items), sorted(val.targets.tolist())) == (36, [0, 0, 1, 1])


def test_the_hash_changes_with_a_text_and_with_a_label(tmp_path: Path) -> None:
    texts = [TSV, TSV.replace("great", "grand"), TSV.replace("pos\tgreat", "neg\tgreat")]
    hashes = {TextTables(table(tmp_path, text)).read("train").sha256() for text in texts}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TSV.replace("great", " "), r"line 4: got an empty text"),
        (TSV.replace("neg\tawful", "\tawful"), r"line 5: got an empty label"),
        (TSV.replace("great", "great\tmore"), r"line 4: got 3 columns, expected 2"),
        (TSV.replace("text\n", "review\n", 1), r"got columns label, review, expected a column 'text'"),
        ("label\ttext\n", "got no rows"),
        ("", "got no rows"),
        (TSV.replace("neg", "pos"), "got 1 class in 4 rows, expected at least two"),
        (TSV.encode().replace(b"great", b"gr\xe9at"), r"line 4: got byte 0xe9, which is no UTF-8"),
    ],
    ids=["blank", "no-label", "columns", "header", "header-alone", "empty", "one-class", "latin-1"],
)
def test_a_table_that_cannot_be_used_is_refused_by_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        TextTables(table(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.csv", 'text,label\n"open,a\n', "line 2: got .*expected CSV"),
        ("train.jsonl", '{"text": "x", "label": 1}\nno json\n', "line 2: got no JSON object"),
        ("train.jsonl", '{"text": "x"}\n', "line 1: got no key 'label'"),
        ("train.jsonl", '{"text": ["x"], "label": 1}\n', "line 1: got list and int"),
        ("train.xlsx", "PK", r"got a \.xlsx file, expected one of \.tsv"),
    ],
    ids=["quotes", "json", "key", "type", "suffix"],
)
def test_other_kinds_are_refused_by_line_too(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TextTables(table(tmp_path, text, name))


def test_a_label_that_training_never_saw_is_refused(tmp_path: Path) -> None:
    table(tmp_path, TSV)
    table(tmp_path, TSV + "mixed\tso so\n", "test.tsv")
    with pytest.raises(
        DataError, match=r"Data 'test\.tsv': got label 'mixed', expected those of the training"
    ):
        TextTables(tmp_path).read("test")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "got no training table"),
        (("a_train.tsv", "b_train.tsv"), r"got a_train\.tsv and b_train\.tsv"),
    ],
    ids=["none", "two"],
)
def test_a_folder_without_one_training_table_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        table(tmp_path, TSV, name)
    with pytest.raises(DataError, match=message):
        TextTables(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got no such file or folder"):
        TextTables(tmp_path / "nowhere")

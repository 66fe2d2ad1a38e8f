"""Plain text as training data."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtimes import DataError
from sdk.inputs.tokenizer import open_tokenizer, pack_tokenizer
from tests.tiny_gpt import rhyme
from train.data.text_corpus import hold_out, open_corpus, split_of
from train.prompt_tokenizers import byte_pair_tokenizer, character_tokenizer

CONTEXT = 24


@pytest.fixture(scope="module", params=["bpe", "characters"])
def tokenizer(request: pytest.FixtureRequest) -> object:
    text = rhyme()
    made = byte_pair_tokenizer([text], 300) if request.param == "bpe" else character_tokenizer([text])
    return open_tokenizer(pack_tokenizer(made))


def test_tokenizers_give_every_text_back(tokenizer: object) -> None:
    text = rhyme(5) + "  two  seats\n\n\tand a tab"
    ids = tokenizer.encode(text, add_special_tokens=False).ids  # type: ignore[attr-defined]
    known = tokenizer.decode(ids)  # type: ignore[attr-defined]
    if "ByteLevel" in tokenizer.to_str():  # type: ignore[attr-defined]
        assert known == text
    else:
        # Tabs were never seen; every other character was.
        assert known == text.replace("\t", "<|unknown|>")


def test_windows_put_together_are_the_text_and_fit_the_context(tokenizer: object) -> None:
    documents = [rhyme(30), "", rhyme(7)]
    split = split_of(documents, "train", tokenizer, CONTEXT)
    ends = [at for at, end in enumerate(split.targets) if end]
    assert "".join(split.items[: ends[0] + 1]) == documents[0]
    assert "".join(split.items[ends[0] + 1 :]) == documents[2]
    assert len(ends) == 2
    counts = [len(tokenizer.encode(item, add_special_tokens=False).ids) for item in split.items]  # type: ignore[attr-defined]
    assert max(counts) <= CONTEXT
    whole = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in documents)  # type: ignore[attr-defined]
    assert sum(counts) == whole, "a window has the tokens that its text has"


def test_windows_are_cut_before_spaces(tokenizer: object) -> None:
    items = split_of([rhyme(30)], "train", tokenizer, CONTEXT).items
    assert all(item[0].isspace() for item in items[1:])


def test_held_out_text_is_the_end_of_few_documents_and_every_tenth_of_many() -> None:
    kept, held = hold_out(["a\n" * 100, "b\n" * 50])
    assert [len(text) for text in kept] == [180, 90]
    assert held == ("a\n" * 10, "b\n" * 5)
    kept, held = hold_out([str(at) for at in range(25)])
    assert held == ("9", "19")
    assert len(kept) == 23


@pytest.mark.parametrize("layout", ["files", "folders"])
def test_parts_are_files_or_folders(tmp_path: Path, layout: str) -> None:
    for part in ("train", "val", "test"):
        path = tmp_path / f"{part}.txt" if layout == "files" else tmp_path / part / "one.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"text to {part}")
    corpus = open_corpus(tmp_path)
    assert {part: corpus.documents(part) for part in corpus.parts} == {
        part: (f"text to {part}",) for part in ("train", "val", "test")
    }


def test_folder_without_parts_is_documents_in_name_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(name * 30)
    assert open_corpus(tmp_path).parts == {"train": ("a" * 30, "b" * 30)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no .txt files"),
        ({"val.txt": b"x"}, r"parts \['val'\], expected train among them"),
        ({"a.txt": b"ab\xff"}, "byte 0xff at 2, which is no UTF-8"),
    ],
    ids=["none", "no train", "no UTF-8"],
)
def test_unusable_data_is_one_line(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_corpus(tmp_path)


def test_absent_data_parts_and_text_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing there"):
        open_corpus(tmp_path / "absent")
    (tmp_path / "blank.txt").write_text(" \n ")
    corpus = open_corpus(tmp_path)
    with pytest.raises(DataError, match="no text"):
        corpus.documents("train")
    with pytest.raises(DataError, match="no test part"):
        corpus.documents("test")


def test_folds_are_blocks_and_every_line_is_held_out_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} line {at}\n" for at in range(40)))
    lines = {line for text in open_corpus(tmp_path).parts["train"] for line in text.splitlines()}
    held: list[str] = []
    for at in (1, 2, 3):
        corpus = open_corpus(tmp_path, (at, 3))
        judged = [line for text in corpus.documents("val") for line in text.splitlines()]
        learned = [line for text in corpus.documents("train") for line in text.splitlines()]
        assert sorted(judged + learned) == sorted(lines)
        assert 15 < len(judged) < 40
        held += judged
    assert sorted(held) == sorted(lines)

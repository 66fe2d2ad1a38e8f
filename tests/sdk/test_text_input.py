"""Texts as inputs: tokenising, padding, cutting, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import Dim, EngineMissingError, InputError, SpecError, TensorInfo
from sdk.inputs.text import ATTENTION_MASK, INPUT_IDS, TENSORS, TOKEN_TYPE_IDS
from sdk.inputs.text_files import LARGEST_FILE_BYTES, texts_named
from sdk.inputs.tokenizer import describe_tokenizer, open_tokenizer, pack_tokenizer, unpack_tokenizer
from sdk.kinds import InputKind
from sdk.spec import Graph
from tests.texts import WORDS, text_input, word_tokenizer


def ids(text: Any, **changes: Any) -> list[int]:
    found: list[int] = text_input(**changes).load(text).arrays[INPUT_IDS].tolist()
    return found


def test_load_gives_a_number_per_token() -> None:
    sample = text_input(inputs=TENSORS).load("A very GOOD film")
    assert sample.arrays[INPUT_IDS].tolist() == [7, 9, 4, 6]
    assert sample.arrays[ATTENTION_MASK].tolist() == [1, 1, 1, 1]
    assert sample.arrays[TOKEN_TYPE_IDS].tolist() == [0, 0, 0, 0]
    assert {array.dtype for array in sample.arrays.values()} == {np.dtype(np.int64)}
    assert sample.source == "A very GOOD film"
    assert sample.geometry == {"tokens": 4, "cut": False}


def test_load_takes_bytes_and_files_as_it_takes_strings(tmp_path: Path) -> None:
    (tmp_path / "review.txt").write_bytes(b"\xef\xbb\xbfgood film")
    assert ids(b"good film") == ids(tmp_path / "review.txt") == ids("good film") == [4, 6]


def test_special_tokens_are_added_and_survive_cutting() -> None:
    framed = pack_tokenizer(word_tokenizer(framed=True))
    assert ids("good film", tokenizer=framed) == [2, 4, 6, 3]
    assert ids("the film the film", tokenizer=framed, max_tokens=4) == [2, 8, 6, 3]


@pytest.mark.parametrize(("side", "kept"), [("right", [4, 6]), ("left", [6, 5])], ids=["right", "left"])
def test_long_texts_are_cut_at_the_side_that_the_spec_names(side: str, kept: list[int]) -> None:
    sample = text_input(max_tokens=2, truncation_side=side).load("good film bad")
    assert sample.arrays[INPUT_IDS].tolist() == (kept)
    assert sample.geometry["cut"]


@pytest.mark.parametrize(("side", "kept"), [("right", "good "), ("left", " film")], ids=["right", "left"])
def test_only_so_many_characters_are_looked_at(side: str, kept: str) -> None:
    sample = text_input(max_chars=5, truncation_side=side).load("good and film")
    assert sample.source == kept
    assert sample.geometry["cut"]


def test_a_megabyte_of_text_is_cut_and_not_tokenised_whole() -> None:
    sample = text_input().load("good film " * 100_000)
    assert sample.arrays[INPUT_IDS].tolist() == [4, 6] * 4
    assert len(sample.source) == 512


@pytest.mark.parametrize("item", ["", "  \t\n", b"", " "], ids=["nothing", "blanks", "bytes", "hard-space"])
def test_blank_texts_are_refused(item: Any) -> None:
    with pytest.raises(InputError, match="Text: got nothing but blanks, expected at least one word"):
        text_input().load(item)


def test_a_text_without_a_token_of_its_own_is_refused() -> None:
    framed = pack_tokenizer(word_tokenizer(framed=True).replace('"Lowercase"', '"Strip"').replace(
        '"type": "Strip"', '"type": "Replace", "pattern": {"String": "x"}, "content": ""'))  # fmt: skip
    with pytest.raises(InputError, match="nothing that the tokenizer knows to read"):
        text_input(tokenizer=framed).load("x")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"good \xff film", r"byte 0xff at 5, which is no UTF-8.*iconv"),
        ("good \udcff film", r"half a character \(a surrogate\) at 5"),
        (3, "got int, expected a string, UTF-8 bytes, or the path"),
    ],
    ids=["bytes", "surrogate", "number"],
)
def test_what_is_no_text_is_refused(item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_input().load(item)


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Text 'no\.txt': got no such file"):
        text_input().load(tmp_path / "no.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    with pytest.raises(InputError, match=r"Text 'huge\.txt': got 64 MB, expected at most 64 MB"):
        text_input().load(tmp_path / "huge.txt")


def test_batch_pads_to_the_longest() -> None:
    kind = text_input()
    arrays = kind.batch([kind.load("good"), kind.load("a very bad film")], ())
    assert arrays[INPUT_IDS].tolist() == [[4, 0, 0, 0], [7, 9, 5, 6]]
    assert arrays[ATTENTION_MASK].tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]


def test_batch_pads_on_the_left_with_the_padding_of_the_spec() -> None:
    kind = text_input(padding_side="left", pad_id=3)
    arrays = kind.batch([kind.load("good"), kind.load("bad film")], ())
    assert arrays[INPUT_IDS].tolist() == [[3, 4], [5, 6]]
    assert arrays[ATTENTION_MASK].tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(("text", "length"), [("good", 2), ("good film", 2), ("a good film", 8)])
def test_batch_pads_to_the_next_allowed_length(text: str, length: int) -> None:
    kind = text_input(lengths=(2, 8))
    assert kind.batch([kind.load(text)], ())[INPUT_IDS].shape == (1, length)


def test_variants_fix_the_length_and_leave_the_batch_open() -> None:
    kind = text_input(buckets=(4, 8))
    graph = Graph("main", kind.tensors(), (TensorInfo("scores", "float32", (Dim(), 2)),))
    variants = kind.variants(graph)
    assert [variant.name for variant in variants] == ["main@4", "main@8"]
    assert [str(info) for info in variants[0].inputs] == ["int64 (1+, 4)"] * 2
    assert variants[0].outputs == graph.outputs
    assert kind.for_variants().lengths == (4, 8)
    assert text_input().variants(graph) == ()


def test_a_tokenizer_of_another_network_is_refused() -> None:
    kind = text_input(vocabulary=len(WORDS) - 1)
    with pytest.raises(
        SpecError, match="got 10 tokens, expected at most 9, the rows of the network's embedding"
    ):
        kind.load("good")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": 0}, "max_tokens: got 0"),
        ({"max_chars": 0}, "max_chars: got 0"),
        ({"truncation_side": "up"}, "truncation_side: got 'up'"),
        ({"padding_side": "up"}, "padding_side: got 'up'"),
        ({"pad_id": 10}, "pad_id: got 10, expected from 0 to 9"),
        ({"lengths": (8, 4)}, "lengths: got"),
        ({"buckets": (2, 4)}, "buckets: got .* the last 8"),
        ({"inputs": (ATTENTION_MASK,)}, "inputs: got"),
        ({"inputs": (INPUT_IDS, INPUT_IDS)}, "inputs: got"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_spec_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.input\.{message}"):
        text_input(**changes)


def test_a_spec_is_read_as_it_was_written() -> None:
    kind = text_input(buckets=(4, 8))
    assert InputKind.from_json(kind.to_json(), "spec.input") == kind


def test_a_tokenizer_is_described_and_not_shown() -> None:
    kind = text_input()
    assert kind.described()["tokenizer"] == {
        "model": "WordLevel", "tokens": len(WORDS), "bytes": len(kind.tokenizer),
    }  # fmt: skip
    assert kind.tokenizer not in repr(kind)


def test_a_packed_tokenizer_is_the_same_and_smaller() -> None:
    text = word_tokenizer([*WORDS, *(f"word{at}" for at in range(2000))])
    packed = pack_tokenizer(text)
    assert len(packed) < len(text) / 2
    assert (
        open_tokenizer(packed).to_str() == open_tokenizer(pack_tokenizer(unpack_tokenizer(packed))).to_str()
    )


@pytest.mark.parametrize("packed", ["no base64!", "YWJj", pack_tokenizer('{"model": 3}')], ids=str)
def test_a_tokenizer_that_is_none_is_refused(packed: str) -> None:
    for read in (describe_tokenizer, open_tokenizer):
        with pytest.raises(SpecError, match=r"spec\.input\.tokenizer: got"):
            read(packed)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    packed = pack_tokenizer(word_tokenizer([*WORDS, "fresh"]))
    with pytest.raises(EngineMissingError, match=r"pip install 'edgewright\[text\]'"):
        text_input(tokenizer=packed, vocabulary=11).load("good")


def test_contents_tell_texts_apart_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("good film")
    kind = text_input()
    assert kind.contents("good film") == kind.contents(tmp_path / "one.txt") != kind.contents("bad film")


def test_words_are_files_where_there_are_such_and_texts_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("good\n\nfilm\n")
    folder, one = str(tmp_path), tmp_path / "one.txt"
    assert texts_named(["a good film", folder]) == [("a good film", "a good film"), (str(one), one)]
    assert texts_named([str(one)], lines=True) == [(f"{one}:1", "good"), (f"{one}:3", "film")]
    assert texts_named(["good " * 1000]) == [("good " * 1000,) * 2]


def test_a_missing_text_file_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        text_input().load(texts_named([str(tmp_path / "missing.txt")])[0][1])

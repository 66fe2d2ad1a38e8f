"""Bad texts, series and styles, through the command as a person gives them: a stated rule, or one line
that names what is wrong and where, exit code 2, and nothing written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sdk.artifact import read_artifact, write_artifact
from sdk.command import main
from tests.commands.conftest import Refused
from tests.train.small_sequences import (
    CONTEXT,
    HORIZON,
    SMALL,
    VGG,
    series_rows,
    small_options,
    write_pairs,
    write_photos,
    write_reviews,
    write_series,
)
from train.loop import train

QUICK = ["--epochs", "1", "--batch-size", "8", "--threads", "1", "--device", "cpu"]
MEGABYTE = 2**20
LATIN = "caf\xe9 noir".encode("latin-1")

Trained = Callable[[str], Path]
Rows = list[tuple[str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A checkpoint per task, after one epoch. Read only."""
    made: dict[str, Path] = {}

    def checkpoint(task: str) -> Path:
        if task not in made:
            folder = tmp_path_factory.mktemp(task)
            made[task] = train(small_options(task, folder, folder / "run", epochs=1)).checkpoint
        return made[task]

    return checkpoint


def _words(task: str) -> list[str]:
    """Options of a small network, as the command takes them."""
    return [
        word for name, value in SMALL[task].items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]


# --- texts ------------------------------------------------------------------------------------------------

TEXTS = {
    "empty": (b"", "got nothing but blanks"),
    "blanks": (b" \n\t ", "got nothing but blanks"),
    "latin-1": (LATIN, "got byte 0xe9 at 3, which is no UTF-8, expected text in UTF-8"),
    "UTF-16": ("a film".encode("utf-16"), "got byte 0xff at 0, which is no UTF-8"),
    "cut character": ("fine é".encode()[:-1], "got byte 0xc3 at 5, which is no UTF-8"),
}


@pytest.mark.parametrize("task", ["text", "seq2seq"])
@pytest.mark.parametrize("case", TEXTS)
def test_predict_refuses_a_text_file(
    case: str, task: str, trained: Trained, tmp_path: Path, refused: Refused
) -> None:
    data, expected = TEXTS[case]
    (tmp_path / "bad.txt").write_bytes(data)
    said = refused("predict", trained(task), tmp_path / "bad.txt", "--json")
    assert said.startswith("edgewright: Text")
    assert expected in said


@pytest.mark.parametrize(
    ("text", "expected"), [("", "blanks"), ("  ", "blanks"), ("no\udce9", "surrogate")], ids=repr
)
def test_predict_refuses_a_text_on_the_command_line(
    text: str, expected: str, trained: Trained, refused: Refused
) -> None:
    assert expected in refused("predict", trained("text"), text)


def test_predict_refuses_a_text_file_that_is_not_there(trained: Trained, refused: Refused) -> None:
    assert "Text 'nowhere.txt': got no such file" in refused("predict", trained("text"), "nowhere.txt")


@pytest.mark.parametrize("task", ["text", "seq2seq", "gpt"])
def test_a_megabyte_of_text_is_cut_as_the_spec_says(
    task: str, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule: so many characters, and of them so many tokens, from the side that the spec names."""
    spec_input = read_artifact(trained(task)).spec.input
    whole = ("a fine film of people . " * MEGABYTE)[:MEGABYTE]
    kept = spec_input.max_chars  # type: ignore[attr-defined]
    short = whole[:kept] if spec_input.truncation_side == "right" else whole[-kept:]  # type: ignore[attr-defined]
    answers = []
    for name, text in (("long", whole), ("short", short)):
        (tmp_path / f"{name}.txt").write_text(text)
        assert main(["predict", str(trained(task)), str(tmp_path / f"{name}.txt"), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out)[0])
    for answer in answers:
        # What was given is told back as it was given.
        for name in ("input", "source", "prompt", "text"):
            answer.pop(name, None)
    assert answers[0] == answers[1]


def test_an_empty_prompt_is_a_beginning(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    """The rule: what follows nothing is what texts begin with."""
    assert main(["generate", str(trained("gpt")), "", "--max-tokens", "3", "--temperature", "0"]) == 0
    assert capsys.readouterr().out.strip()


def test_generate_refuses_a_prompt_that_is_no_text(trained: Trained, refused: Refused) -> None:
    assert "surrogate" in refused("generate", trained("gpt"), "no\udce9")


def test_a_vocabulary_larger_than_the_network_is_refused(
    trained: Trained, tmp_path: Path, refused: Refused
) -> None:
    artifact = read_artifact(trained("text"))
    spec = artifact.spec
    small = replace(spec.input, vocabulary=5)  # type: ignore[type-var]
    path = tmp_path / "small.safetensors"
    write_artifact(path, artifact.payload, replace(artifact.manifest, spec=replace(spec, input=small)))
    said = refused("predict", path, "a fine film")
    assert "spec.input.tokenizer: got " in said
    assert "at most 5, the rows of the network's embedding" in said


@pytest.mark.parametrize(
    "contents", ["", "{", "[]", '{"model": {"type": "WordLevel", "vocab": 3}}'], ids=repr
)
def test_training_refuses_a_tokenizer(contents: str, tmp_path: Path, refused: Refused) -> None:
    data, file = write_reviews(tmp_path / "train.tsv"), tmp_path / "tokenizer.json"
    file.write_text(contents)
    words = ["--model", "text_lstm", "--tokenizer", file]
    said = refused("train", "text", "--data", data, "--out", tmp_path / "run", *QUICK, *words)
    assert "'tokenizer.json'" in said


def test_training_refuses_a_directory_whose_tokenizer_does_not_fit(tmp_path: Path, refused: Refused) -> None:
    """`config.json` speaks of fewer tokens than `tokenizer.json` has."""
    from train.data.vocabulary import learn_vocabulary

    data, folder = write_reviews(tmp_path / "train.tsv"), tmp_path / "bert"
    folder.mkdir()
    texts = [line.split("\t")[0] for line in data.read_text().splitlines()]
    (folder / "tokenizer.json").write_text(learn_vocabulary(texts, 60, cased=False))
    _write_bert(folder, vocabulary=6)
    words = ["--model", "bert", "--pretrained-from", folder]
    said = refused("train", "text", "--data", data, "--out", tmp_path / "run", *QUICK, *words)
    assert "6" in said
    assert "token" in said


def _write_bert(folder: Path, vocabulary: int) -> None:
    """A BERT directory of transformers with random weights."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(
        vocab_size=vocabulary, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(folder)


TABLES = {
    "latin-1": (b"text\tlabel\n" + LATIN + b"\tpos\n", "no UTF-8"),
    "empty": (b"", "train.tsv"),
    "only a header": (b"text\tlabel\n", "train.tsv"),
    "empty text": (b"text\tlabel\na film\tpos\n \tneg\n", "line 3"),
    "no label": (b"text\tlabel\na film\tpos\nfine\t\n", "line 3"),
    "a column too many": (b"text\tlabel\na film\tpos\nfine\tneg\tpos\n", "line 3"),
    "one class": (b"text\tlabel\na film\tpos\nfine\tpos\n", "1 class in 2 rows"),
    "other columns": (b"review\tstars\na film\tpos\nfine\tneg\n", "'text'"),
}


@pytest.mark.parametrize("case", TABLES)
def test_training_refuses_a_table_of_texts(case: str, tmp_path: Path, refused: Refused) -> None:
    contents, expected = TABLES[case]
    (tmp_path / "train.tsv").write_bytes(contents)
    words = [*QUICK, *_words("text")]
    said = refused("train", "text", "--data", tmp_path / "train.tsv", "--out", tmp_path / "run", *words)
    assert expected in said


CORPORA = {"empty": b"", "blanks": b" \n ", "latin-1": LATIN * 50}


@pytest.mark.parametrize("case", CORPORA)
def test_training_refuses_a_corpus(case: str, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "corpus.txt").write_bytes(CORPORA[case])
    words = [*QUICK, *_words("gpt")]
    said = refused("train", "gpt", "--data", tmp_path / "corpus.txt", "--out", tmp_path / "run", *words)
    assert "corpus.txt" in said


PAIRS = {
    "no target": ("day 7\n", "line 49"),
    "empty source": ("\t07\n", "line 49"),
    "empty target": ("day 7\t\n", "line 49"),
    "latin-1": (LATIN.decode("latin-1") + "\t7\n", "no UTF-8"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_training_refuses_a_table_of_pairs(case: str, tmp_path: Path, refused: Refused) -> None:
    line, expected = PAIRS[case]
    data = write_pairs(tmp_path / "train.tsv")
    data.write_bytes(data.read_bytes() + line.encode("latin-1"))
    words = [*QUICK, *_words("seq2seq")]
    assert expected in refused("train", "seq2seq", "--data", data, "--out", tmp_path / "run", *words)


# --- series -----------------------------------------------------------------------------------------------


def _changed(rows: Rows, case: str) -> Rows:
    """Rows with one thing wrong near their end, where a forecast looks."""
    at = len(rows) - 3
    time, value = rows[at]
    changed = {
        "gap": [*rows[:at], *rows[at + 1 :]],
        "duplicate": [*rows[: at + 1], *rows[at:]],
        "unsorted": [*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]],
        "off the grid": [*rows[:at], (time.replace(":00:00", ":30:00"), value), *rows[at + 1 :]],
        "NaN": [*rows[:at], (time, "nan"), *rows[at + 1 :]],
        "blank": [*rows[:at], (time, ""), *rows[at + 1 :]],
        "infinity": [*rows[:at], (time, "inf"), *rows[at + 1 :]],
        "word": [*rows[:at], (time, "ten"), *rows[at + 1 :]],
        "no time": [*rows[:at], ("yesterday", value), *rows[at + 1 :]],
        "summer time": [*rows[:at], (f"{time}+02:00", value), *rows[at + 1 :]],
        "no rows": [],
    }
    return changed[case]


SERIES = {
    "gap": "rows missing behind it",
    "duplicate": "a time that is there twice",
    "unsorted": "a time before that of the row above",
    "off the grid": "got a row 5400 s after the one above",
    "NaN": "got no number in 'load'",
    "blank": "got no number in 'load'",
    "infinity": "got infinity in 'load'",
    "word": "got 'ten', expected a number",
    "no time": "got 'yesterday', expected a time",
    "summer time": "+02:00",
    "no rows": "got no rows",
}


@pytest.mark.parametrize("case", SERIES)
def test_predict_refuses_a_series(case: str, trained: Trained, tmp_path: Path, refused: Refused) -> None:
    path = write_series(tmp_path / "bad.csv", _changed(series_rows(CONTEXT + 10), case))
    said = refused("predict", trained("forecast"), path)
    assert said.startswith("edgewright: Series")
    assert SERIES[case] in said


@pytest.mark.parametrize("case", SERIES)
def test_training_refuses_a_series(case: str, tmp_path: Path, refused: Refused) -> None:
    path = write_series(tmp_path / "bad.csv", _changed(series_rows(), case))
    words = [*QUICK, *_words("forecast")]
    said = refused("train", "forecast", "--data", path, "--out", tmp_path / "run", *words)
    assert said.startswith("edgewright: Series")
    assert SERIES[case] in said


def test_small_holes_are_filled_where_that_was_said(tmp_path: Path) -> None:
    """The rule: with ``--fill N``, up to N missing rows or numbers take the last value before them."""
    rows = _changed(_changed(series_rows(), "gap")[:-20], "NaN")
    path = write_series(tmp_path / "holes.csv", rows)
    words = ["--data", str(path), "--out", str(tmp_path / "run"), "--fill", "2", *QUICK, *_words("forecast")]
    assert main(["train", "forecast", *words]) == 0
    assert main(["predict", str(tmp_path / "run" / "forecast.safetensors"), str(path)]) == 0


def test_predict_refuses_a_history_shorter_than_the_model_looks_back(
    trained: Trained, tmp_path: Path, refused: Refused
) -> None:
    path = write_series(tmp_path / "short.csv", series_rows(CONTEXT - 1))
    said = refused("predict", trained("forecast"), path)
    assert f"got {CONTEXT - 1} rows with 'load', expected at least {CONTEXT}" in said


@pytest.mark.parametrize("horizon", [len(series_rows()), 10**6], ids=["as long", "far longer"])
def test_training_refuses_a_horizon_longer_than_the_data(
    horizon: int, tmp_path: Path, refused: Refused
) -> None:
    path = write_series(tmp_path / "series.csv")
    words = ["--horizon", horizon, "--context", horizon, "--patch", horizon, *QUICK]
    said = refused("train", "forecast", "--data", path, "--out", tmp_path / "run", *words)
    assert "--horizon" in said
    assert f"one forecast of {horizon} rows" in said


def test_series_without_the_models_columns_are_refused(
    trained: Trained, tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("time,price\n2024-01-01 00:00:00,1.5\n")
    assert "expected a column 'load'" in refused("predict", trained("forecast"), path)
    path.write_text("time,load\n2024-01-01 00:00:00,1.5,7\n")
    assert "line 2: got 3 cells" in refused("predict", trained("forecast"), path)
    path.write_bytes(b"time,load\n\xff\xfe,1\n")
    assert "got bytes that are no UTF-8" in refused("predict", trained("forecast"), path)
    assert "got no such file" in refused("predict", trained("forecast"), tmp_path / "nowhere.csv")


# --- style ------------------------------------------------------------------------------------------------

PICTURES = {
    "1x1": "got a picture of 1×1 pixels",
    "15x40": "got a picture of 15×40 pixels",
    "text": "style.png",
    "empty": "style.png",
    "missing": "style.png",
}


def _picture(case: str, path: Path) -> Path:
    if case == "text":
        path.write_text("a swirling sky")
    elif case == "empty":
        path.touch()
    elif case != "missing":
        Image.new("RGB", tuple(map(int, case.split("x"))), (200, 40, 40)).save(path)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("case", PICTURES)
def test_training_refuses_a_style_picture(case: str, tmp_path: Path, refused: Refused) -> None:
    data = write_photos(tmp_path)
    style = _picture(case, tmp_path / "style.png")
    words = ["--style", style, "--vgg", tmp_path / VGG, *QUICK, *_words("style")]
    said = refused("train", "style", "--data", data, "--out", tmp_path / "run", *words)
    assert "style.png" in said
    assert PICTURES[case] in said


@pytest.mark.parametrize("case", PICTURES)
@pytest.mark.parametrize("role", ["style", "content"])
def test_stylize_refuses_a_picture(role: str, case: str, tmp_path: Path, refused: Refused) -> None:
    bad = _picture(case, tmp_path / "style.png")
    good = write_photos(tmp_path) / "000.png"
    content, style = (good, bad) if role == "style" else (bad, good)
    words = ["--style", style, "--vgg", tmp_path / VGG, "--out", tmp_path / "painted.png", "--steps", "1"]
    said = refused("stylize", content, *words)
    assert "style.png" in said or said.startswith("edgewright: Content: ")
    assert PICTURES[case] in said


def test_a_photo_of_one_pixel_is_painted(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule: a photo of any size comes back in its own."""
    photo, out = _picture("1x1", tmp_path / "photo.png"), tmp_path / "out"
    assert main(["predict", str(trained("style")), str(photo), "--out", str(out)]) == 0
    assert "1×1 px" in capsys.readouterr().out


# --- as its own process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["text", "forecast"])
def test_a_process_of_its_own_says_no_more(what: str, trained: Trained, tmp_path: Path) -> None:
    """Logs and warnings that a test runner would catch have nothing to hide behind here."""
    bad = tmp_path / "bad.txt" if what == "text" else tmp_path / "bad.csv"
    if what == "text":
        bad.write_bytes(LATIN)
    else:
        write_series(bad, _changed(series_rows(CONTEXT + HORIZON), "duplicate"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "sdk.command", "predict", str(trained(what)), str(bad), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"edgewright: {'Text' if what == 'text' else 'Series'}")

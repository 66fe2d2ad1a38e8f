"""`edgewright train` on the command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.command import main

QUICK = ["--epochs", "1", "--batch-size", "8", "--image-size", "16", "--threads", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets this for its own process; here it must not leak into other tests."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


def test_train_prints_figures_and_what_comes_next(
    colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["train", "product", "--data", str(colour_folder), "--out", str(tmp_path / "run"), *QUICK])
    out = capsys.readouterr().out
    assert code == 0
    assert "product: 54 train, 6 val; compact_cnn" in out
    assert "epoch 1/1" in out
    assert "(which also chose the epoch)" in out
    assert "edgewright export" in out
    assert (tmp_path / "run" / "product.safetensors").is_file()


def test_second_run_in_one_folder_needs_a_word(
    colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "product", "--data", str(colour_folder), "--out", str(tmp_path / "run"), *QUICK]
    assert main(words) == 0
    before = (tmp_path / "run" / "product.safetensors").read_bytes()
    capsys.readouterr()
    assert main(words) == 2
    assert "folder of an earlier run" in capsys.readouterr().err
    assert (tmp_path / "run" / "product.safetensors").read_bytes() == before
    assert main([*words, "--overwrite"]) == 0


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs: got 0"),
        (["--clip-norm", "1", "--clip-value", "1"], "--clip-norm and --clip-value"),
        (["--resume"], "no run to resume"),
        (["--resume", "--overwrite"], "--resume and --overwrite"),
        (["--pretrained"], "--pretrained: got it for compact_cnn"),
        (["--freeze", "head-only"], "--freeze: got head-only with fresh weights"),
        (["--weights", "nowhere.safetensors"], "Weights 'nowhere.safetensors'"),
        (["--precision", "16-mixed"], "--precision: got 16-mixed on a CPU"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_senseless_options_exit_with_2(
    words: list[str], message: str, colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "product", "--data", str(colour_folder), "--out", str(out), *QUICK, *words]) == 2
    assert message in _one_line(capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    "case", ["missing", "empty", "class without pictures", "text as png", "empty png", "idx"]
)
def test_bad_data_exits_with_2(
    case: str, colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    if case == "empty":
        data.mkdir()
    elif case == "idx":
        data.mkdir()
        (data / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    elif case != "missing":
        shutil.copytree(colour_folder, data)
        (data / "yellow").mkdir()
        if case != "class without pictures":
            (data / "yellow" / "a.png").write_text("text" if case == "text as png" else "")
    out = tmp_path / "run"
    assert main(["train", "product", "--data", str(data), "--out", str(out), *QUICK]) == 2
    assert _one_line(capsys).startswith("edgewright: ")
    assert not out.exists()


@pytest.mark.parametrize(
    "words", [[], ["poetry"], ["product"], ["product", "--data", "x", "--model", "vgg"]], ids=str
)
def test_wrong_words_exit_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", *words])
    assert caught.value.code == 2
    _one_line(capsys)


def test_list_models_names_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "product", "--list-models"])
    assert caught.value.code == 0
    assert {"compact_cnn", "resnet18", "efficientnet_v2_s"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", ["product --help", "product --list-models", "--help"])
def test_help_does_not_import_torch(words: str, root: Path) -> None:
    code = (
        "import sys\nfrom sdk.command import main\n"
        f"try: main(['train', *{words.split()!r}])\nexcept SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'lightning', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr

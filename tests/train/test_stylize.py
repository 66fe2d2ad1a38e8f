"""Style transfer by search: the losses fall, the command writes what it found, and refuses what it cannot."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from runtimes import UsageError
from tests.style_subjects import write_photos, write_style, write_vgg
from train import stylize_command
from train.data.photos import load_photo
from train.style_losses import StyleJudge, StyleWeights
from train.style_picture import load_style
from train.stylize import METHODS, StylizeOptions, stylize
from train.vgg_features import load_vgg

WEIGHTS = StyleWeights(1.0, 3.0, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stylize")
    write_photos(folder / "photos", 1)
    write_style(folder / "style.png")
    write_vgg(folder / "vgg.safetensors")
    return folder


@pytest.fixture(scope="module")
def judge(folder: Path) -> StyleJudge:
    return StyleJudge(load_vgg(folder / "vgg.safetensors"), load_style(folder / "style.png", 32))


@pytest.mark.parametrize("start", ["content", "noise"])
@pytest.mark.parametrize("method", METHODS)
def test_stylize_lowers_the_loss(folder: Path, judge: StyleJudge, method: str, start: str) -> None:
    photo = load_photo(folder / "photos" / "photo0.png")
    losses: list[float] = []
    options = StylizeOptions(method, 5, start, 3)
    painted = stylize(photo, judge, WEIGHTS, options, lambda step, loss: losses.append(loss))
    assert painted.shape == (photo.height, photo.width, 3)
    assert painted.dtype == np.uint8
    assert len(losses) == 5
    assert losses[-1] < 0.95 * losses[0]


def test_stylize_from_noise_follows_from_the_seed(folder: Path, judge: StyleJudge) -> None:
    photo = load_photo(folder / "photos" / "photo0.png")
    one, same, other = (
        stylize(photo, judge, WEIGHTS, StylizeOptions("adam", 1, "noise", seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_stylize_that_diverges_says_so(folder: Path, judge: StyleJudge) -> None:
    broken = StyleWeights(float("nan"), 1.0, 1.0)
    with pytest.raises(UsageError, match="which diverged at step 1"):
        stylize(load_photo(folder / "photos" / "photo0.png"), judge, broken, StylizeOptions("adam", 2))


def test_stylize_of_one_pixel_is_refused(judge: StyleJudge) -> None:
    with pytest.raises(UsageError, match="Content: got a picture of 1×1 pixels"):
        stylize(Image.new("RGB", (1, 1)), judge, WEIGHTS, StylizeOptions())


def run(folder: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    stylize_command.configure(parser)
    words = [
        str(folder / "photos" / "photo0.png"),
        "--style",
        str(folder / "style.png"),
        "--style-size",
        "32",
    ]
    words += ["--vgg", str(folder / "vgg.safetensors"), "--steps", "1", "--size", "32"]
    return stylize_command.run(parser.parse_args([*words, *more]))


def test_stylize_command_writes_a_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    try:
        assert run(folder, "--out", str(tmp_path / "art.png"), "--threads", "1") == 0
    finally:
        torch.set_num_threads(threads)
    assert "in 1 steps" in capsys.readouterr().out
    with Image.open(tmp_path / "art.png") as painted:
        assert max(painted.size) == 32
    with pytest.raises(UsageError, match="a file that is there already"):
        run(folder, "--out", str(tmp_path / "art.png"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "art.gif"], "Option --out: got 'art.gif'"),
        (["--out", "new.png", "--size", "8"], "Option --size: got 8, expected at least 16"),
        (["--out", "new.png", "--steps", "0"], "--steps: got 0, expected at least 1"),
        (["--out", "new.png", "--vgg", "gone.safetensors"], "'gone.safetensors': got"),
    ],
    ids=["suffix", "size", "steps", "weights"],
)
def test_stylize_command_refuses_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        run(folder, *more)
    assert not list(tmp_path.iterdir())

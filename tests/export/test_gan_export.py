"""A generator in every runtime: trained, exported, proved, and the same picture for a seed everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.pipeline import export_artifacts
from runtimes import UsageError
from sdk import Predictor, read_artifact
from sdk.artifact import PROVED
from sdk.command import main
from sdk.inputs.noise import STRIDE, draw_normal
from sdk.results.picture_grid import GAP_PX
from tests.train.small_data import write_idx_folder
from train.loop import train
from train.options import make_options

SIDE_PX = 8
# Other kernels add in another order; where a value lies between two levels that is one level.
ONE_LEVEL = 1 / 255


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A generator of 8×8 pictures after one epoch: the checkpoint, `.onnx` and `.pte`. Read only."""
    root = tmp_path_factory.mktemp("gan")
    data = write_idx_folder(root / "shades", per_class=80)
    options = make_options("gan", data, root / "run", epochs=1, batch_size=16, dimensions=4, width=4,
                           lr=3e-2, ema=0.5,
                           score_samples=24, threads=1, device="cpu")  # fmt: skip
    checkpoint = train(options).checkpoint
    with pytest.MonkeyPatch.context() as patch:  # what is timed here need not be timed well
        patch.setattr("export.latency.WARM_UP_S", 0.0)
        patch.setattr("export.latency.ROUNDS", 4)
        patch.setattr("export.latency.MOST_TAKES", 1)
        made = export_artifacts(checkpoint, ["onnx", "pte"], data=data, out=root / "out")
    assert [each.evidence.status for each in made] == [PROVED, PROVED]
    return {".safetensors": checkpoint, **{each.path.suffix: each.path for each in made}}


SUFFIXES = (".safetensors", ".onnx", ".pte")


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_artifact_proves_the_score_of_the_checkpoint(files: dict[str, Path], suffix: str) -> None:
    proof = read_artifact(files[suffix]).manifest.evidence
    (before,) = read_artifact(files[".safetensors"]).manifest.evidence.metrics
    assert proof.metrics[0].value == pytest.approx(before.value, rel=1e-3)
    assert proof.parity is not None
    assert proof.parity.agreement == 1.0
    assert proof.parity.worst_difference <= ONE_LEVEL
    assert read_artifact(files[suffix]).spec.baked == ("to_uint8",)


def test_seed_is_the_same_picture_in_every_runtime(files: dict[str, Path]) -> None:
    drawn: dict[str, list[Any]] = {}
    for suffix in SUFFIXES:
        with Predictor(files[suffix]) as predictor:
            drawn[suffix] = predictor.generate(5, seed=3)
            single = predictor.predict(3 + STRIDE)
            np.testing.assert_allclose(single.pixels, drawn[suffix][1].pixels, atol=1)
            assert predictor.verify().holds
    for suffix in SUFFIXES[1:]:
        for one, other in zip(drawn[".safetensors"], drawn[suffix], strict=True):
            apart = np.abs(one.pixels.astype(int) - other.pixels)
            assert apart.mean() / 255 <= ONE_LEVEL
            assert one.source == other.source
    pictures = {result.pixels.tobytes() for result in drawn[".onnx"]}
    assert len(pictures) == 5


def test_generator_takes_numbers_as_well(files: dict[str, Path]) -> None:
    with Predictor(files[".onnx"]) as predictor:
        np.testing.assert_array_equal(
            predictor.predict(draw_normal(9, 4)).pixels, predictor.predict(9).pixels
        )
        with pytest.raises(UsageError, match="'n': got 0"):
            predictor.generate(0)


def test_command_writes_a_grid(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid.png"
    words = ["generate", str(files[".onnx"]), "-n", "6", "--seed", "1", "--out", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{out}: 6 pictures, seed 1\n"
    with Image.open(out) as grid, Predictor(files[".onnx"]) as predictor:
        assert grid.size == (3 * SIDE_PX + 2 * GAP_PX, 2 * SIDE_PX + GAP_PX)
        np.testing.assert_array_equal(np.asarray(grid)[:8, :8], predictor.predict(1).pixels[..., 0])
    before = out.read_bytes()
    assert main(words) == 2
    assert "a file that is there already" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--truncation", "0.5"]) == 0
    assert out.read_bytes() != before


def test_command_writes_a_file_per_picture(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    out = tmp_path / "pictures"
    assert main(["generate", str(files[".onnx"]), "-n", "3", "--seed", "2", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["seed"] for entry in told] == [2, 2 + STRIDE, 2 + 2 * STRIDE]
    assert [Path(entry["file"]) for entry in told] == sorted(out.iterdir())
    with Image.open(told[1]["file"]) as picture, Predictor(files[".onnx"]) as predictor:
        np.testing.assert_array_equal(np.asarray(picture), predictor.predict(told[1]["seed"]).pixels[..., 0])


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in it a folder ``taken`` with a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file.txt").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Option --out: got nothing"),
        (("once upon a time", "--out", "new.png"), "Option PROMPT: got 'once upon a time'"),
        (("--out", "new.png", "-n", "-1"), "Option 'n': got -1"),
        (("--out", "new.png", "--seed", "-1"), "Option 'seed': got -1"),
        (("--out", "new.png", "--truncation", "0"), "Option 'truncation': got 0.0"),
        (("--out", "taken"), "got a folder with things in it"),
        (("--out", "taken/file.txt"), "got a file that is no .png"),
    ],
    ids=["nowhere", "prompt", "count", "seed", "truncation", "filled", "file"],
)
def test_command_refuses(
    files: dict[str, Path],
    words: tuple[str, ...],
    message: str,
    filled: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["generate", str(files[".onnx"]), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in filled.rglob("*")) == ["file.txt", "taken"]


def test_command_refuses_what_generates_nothing(
    light_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(light_artifact), "--out", str(tmp_path / "new.png")]) == 2
    assert "expected a generator of pictures, or a language model" in capsys.readouterr().err
    with Predictor(light_artifact) as predictor, pytest.raises(UsageError, match="Use predict"):
        predictor.generate(3)

"""Calibration data: drawn the same each time, and never from what accuracy is reported on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.calibration import CalibrationSet, choose_calibration
from runtimes import DataError, UsageError
from sdk import read_artifact
from sdk.command import main
from sdk.spec import Spec
from tests.export.conftest import write_idx
from train.tasks import get_task
from train.tasks.base import Split, Task


@pytest.fixture
def spec(checkpoint: Path) -> Spec:
    return read_artifact(checkpoint).spec


@pytest.fixture
def task() -> Task:
    return get_task("product")


@pytest.fixture
def proof(task: Task, small_data: Path, spec: Spec) -> Split:
    return task.load_split(small_data, "test", spec)


def test_choose_calibration_draws_the_same_items_each_time(
    task: Task, small_data: Path, spec: Spec, proof: Split
) -> None:
    first = choose_calibration(task, small_data, spec, proof, count=64)
    again = choose_calibration(task, small_data, spec, proof, count=64)
    other = choose_calibration(task, small_data, spec, proof, count=64, seed=1)
    assert len(first) == 64
    assert first.sha256 == again.sha256 != other.sha256


def test_choose_calibration_refuses_the_split_that_accuracy_is_reported_on(
    task: Task, small_data: Path, spec: Spec, proof: Split
) -> None:
    with pytest.raises(UsageError, match="'test', which accuracy is reported on"):
        choose_calibration(task, small_data, spec, proof, split="test")


def test_choose_calibration_refuses_samples_that_are_in_the_proof_split_under_another_name(
    task: Task, small_data: Path, spec: Spec, proof: Split
) -> None:
    train = task.load_split(small_data, "train", spec)
    leaked = replace(proof, items=[*proof.items[:10], *train.items])
    with pytest.raises(DataError, match=r"64 of 64 samples that are in the split 'test' too"):
        choose_calibration(task, small_data, spec, leaked, count=64)


def test_choose_calibration_refuses_too_few_samples(
    task: Task, small_data: Path, spec: Spec, proof: Split
) -> None:
    with pytest.raises(UsageError, match=r"--calibration-samples: got 5, expected at least 16"):
        choose_calibration(task, small_data, spec, proof, count=5)
    with pytest.raises(DataError, match=r"samples, expected at least 100000"):
        choose_calibration(task, small_data, spec, proof, count=100_000)


def test_choose_calibration_refuses_another_class_list(
    task: Task, spec: Spec, proof: Split, tmp_path: Path
) -> None:
    from PIL import Image

    for label in ("apple", "pear"):
        for split in ("train", "test"):
            folder = tmp_path / "fruit" / split / label
            folder.mkdir(parents=True)
            for number in range(40):
                Image.new("L", (28, 28), number).save(folder / f"{number}.png")
    with pytest.raises(DataError, match="class .* expected the checkpoint's 10 classes"):
        choose_calibration(task, tmp_path / "fruit", spec, proof)


def test_calibration_set_refuses_nan_by_name(spec: Spec) -> None:
    class NanInput:
        def load(self, item: object) -> object:
            return item

        def batch(self, samples: list[object], baked: tuple[str, ...]) -> dict[str, np.ndarray]:
            return {"image": np.array([[0.0, float(sample)] for sample in samples], np.float32)}  # type: ignore[arg-type]

    class NanSpec:
        input, baked = NanInput(), ()

    items = [0.0] * 40
    items[35] = float("nan")
    batches = CalibrationSet("train", items, "").batches(NanSpec())  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"Calibration sample 35: got NaN or infinity in input 'image'"):
        list(batches)


def test_contents_tells_items_not_names(checkpoint: Path, tmp_path: Path) -> None:
    contents = read_artifact(checkpoint).spec.input.contents
    picture = np.arange(784, dtype=np.uint8).reshape(28, 28)
    assert contents(picture) == contents(picture.copy())
    assert contents(picture) != contents(picture.reshape(14, 56))
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"same")
    assert contents(tmp_path / "a.png") == contents(str(tmp_path / "b.png")) == contents(b"same")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--calibration-split", "test"], "which accuracy is reported on"),
        (["--calibration-samples", "3"], "expected at least 16"),
        (["--keep", "features.stem.9"], "which is no layer of this network"),
    ],
    ids=["proof split", "too few", "no such layer"],
)
def test_export_command_refuses_bad_calibration_in_one_line(
    checkpoint: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(checkpoint.parent.iterdir())
    assert main(["export", str(checkpoint), "--to", "onnx", "--precision", "int8", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert not any("Traceback" in line for line in lines)
    assert sorted(checkpoint.parent.iterdir()) == before


def test_calibration_data_with_pictures_of_the_test_split_is_refused_by_the_command(
    checkpoint: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.export.conftest import _read

    leak = tmp_path / "leak"
    leak.mkdir()
    images = _read(small_data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = _read(small_data / "t10k-labels-idx1-ubyte.gz", 8)
    for stem in ("train", "t10k"):
        write_idx(leak / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(leak / f"{stem}-labels-idx1-ubyte.gz", labels)
    words = [
        "export",
        str(checkpoint),
        "--to",
        "onnx",
        "--precision",
        "int8",
        "--calibration-data",
        str(leak),
    ]
    assert main(words) == 2
    assert "samples that are in the split 'test' too" in capsys.readouterr().err

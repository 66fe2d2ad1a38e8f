"""Cross-validation: a run for each fold, what they say together, and going on after it was interrupted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtimes import DataError, UsageError
from sdk.artifact import read_artifact
from tests.train.small_data import SIDE_PX, write_pictures
from train import cross_validation
from train.command import run as run_command
from train.cross_validation import CrossValidation, FoldResult, cross_validate, spreads_of
from train.folds import FACT
from train.options import TrainOptions, make_options
from train.tasks import task_of

FOLDS = 2
Options = Callable[..., TrainOptions]


class _KilledError(Exception):
    """Stands in for a kill between two folds."""


@pytest.fixture(scope="module")
def finished(colour_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """Two folds of one epoch. Read only."""
    out = tmp_path_factory.mktemp("folds") / "cv"
    return cross_validate(_options(colour_folder, out))


def _options(data: Path, out: Path, **given: Any) -> TrainOptions:
    small = {"epochs": 1, "batch_size": 8, "image_size": SIDE_PX, "threads": 1, "device": "cpu"}
    return make_options("product", data, out, folds=FOLDS, **{**small, **given})


def test_cross_validation_writes_a_run_for_each_fold(finished: CrossValidation, colour_folder: Path) -> None:
    assert [one.fold for one in finished.folds] == [1, 2]
    held = set()
    for one in finished.folds:
        artifact = read_artifact(one.checkpoint)
        assert artifact.manifest.evidence.facts[FACT] == {"at": one.fold, "of": FOLDS}
        split = task_of(artifact).load_split(colour_folder, "val", artifact.spec)
        assert artifact.manifest.evidence.metrics[0].samples == len(split) == 30
        held |= {str(item) for item in split.items}
    assert len(held) == 60


def test_cross_validation_says_mean_and_deviation(finished: CrossValidation) -> None:
    values = [one.held_out["accuracy"] for one in finished.folds]
    (spread,) = finished.spreads
    assert (spread.name, spread.split, spread.unit) == ("accuracy", "val", "%")
    assert spread.mean == pytest.approx(sum(values) / 2)
    assert spread.deviation == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    told = json.loads((finished.out / "folds.json").read_text())
    assert [one["held_out"]["accuracy"] for one in told["results"]] == values
    assert told["summary"][0]["mean"] == spread.mean


def test_spread_of_the_test_split_stands_beside_that_of_the_folds(finished: CrossValidation) -> None:
    proofs = [read_artifact(one.checkpoint).manifest.evidence.metrics[0] for one in finished.folds]
    judged = [
        FoldResult(one.fold, one.checkpoint, 1, one.held_out, (type(metric)(
            metric.name, 0.5, 0.4, 0.6, 10, "test"),))
        for one, metric in zip(finished.folds, proofs, strict=True)
    ]  # fmt: skip
    assert [(s.name, s.split, s.text) for s in spreads_of(judged)][1] == (
        "accuracy", "test", "50.00% ± 0.00%",
    )  # fmt: skip


def test_cross_validation_that_was_interrupted_goes_on(
    colour_folder: Path, finished: CrossValidation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cv"
    shutil.copytree(finished.out, out)
    shutil.rmtree(out / "fold-2")  # killed before the second began
    trained = []
    real = cross_validation.train

    def counting(options: TrainOptions, *rest: Any, **more: Any) -> Any:
        trained.append(options.fold)
        return real(options, *rest, **more)

    monkeypatch.setattr(cross_validation, "train", counting)
    lines: list[str] = []
    again = cross_validate(_options(colour_folder, out, resume=True), lines.append)
    assert trained == [2]
    assert "fold 1 of 2 is finished" in lines
    assert [one.held_out for one in again.folds] == [one.held_out for one in finished.folds]


def test_cross_validation_on_changed_data_is_not_continued(
    finished: CrossValidation, colour_folder: Path, tmp_path: Path
) -> None:
    out, data = tmp_path / "cv", tmp_path / "data"
    shutil.copytree(finished.out, out)
    shutil.copytree(colour_folder, data)
    write_pictures(data / "blue" / "more", (1, 1, 200), 4, seed=9)
    with pytest.raises(DataError, match="got other contents than when the cross-validation was started"):
        cross_validate(_options(data, out, resume=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"got the folder of an earlier cross-validation, .* Say --resume"),
        ({"resume": True, "lr": 0.1}, r"^Option --resume with --lr: got 0\.1, expected 0\.005"),
        ({"resume": True, "epochs": 3}, r"^Option --resume with --epochs: got 3"),
    ],
    ids=["neither", "rate", "epochs"],
)
def test_cross_validation_replaces_nothing_unasked(
    given: dict[str, Any], message: str, finished: CrossValidation, colour_folder: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        cross_validate(_options(colour_folder, finished.out, **given))


def test_cross_validation_refuses_other_folders(colour_folder: Path, tmp_path: Path, quick: Options) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="got a folder with other things in it"):
        cross_validate(_options(colour_folder, tmp_path))
    with pytest.raises(UsageError, match="got no cross-validation to resume"):
        cross_validate(_options(colour_folder, tmp_path / "new", resume=True))
    assert not (tmp_path / "new").exists()


def test_cross_validation_under_torchrun_is_refused(
    colour_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"^Option --folds: got it under torchrun, .* Say --devices N"):
        cross_validate(_options(colour_folder, tmp_path / "cv"))
    assert not (tmp_path / "cv").exists()


def test_cross_validation_ends_where_somebody_says_so(colour_folder: Path, tmp_path: Path) -> None:
    seen = []

    def stop(result: FoldResult) -> None:
        seen.append(result.fold)
        raise _KilledError

    with pytest.raises(_KilledError):
        cross_validate(_options(colour_folder, tmp_path / "cv"), finish=stop)
    assert seen == [1]
    assert len(json.loads((tmp_path / "cv" / "folds.json").read_text())["results"]) == 1


def test_command_prints_the_table(
    finished: CrossValidation, colour_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    from train.command import configure

    parser = argparse.ArgumentParser()
    configure(parser)
    small = ["--epochs", "1", "--batch-size", "8", "--image-size", str(SIDE_PX), "--device", "cpu"]
    words = ["--data", str(colour_folder), "--out", str(finished.out), "--folds", "2", "--resume", *small]
    assert run_command(parser.parse_args(["product", *words])) == 0
    said = capsys.readouterr().out
    assert "accuracy, held out" in said and "mean ± sd" in said
    assert f"accuracy {finished.spreads[0].text} on what each fold held out" in said

"""A search: trials, what ends them, what it leaves in its folder, and what it says to paste."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runtimes import DataError, UsageError
from sdk.artifact import read_artifact
from tests.train.small_data import SIDE_PX
from train import tune_command
from train.command import configure as configure_train
from train.options import TrainOptions
from train.tasks.base import Task
from train.tune import Search, Tuned, Tuner, tune
from train.tune_command import configure, run
from train.tune_pruners import PRUNERS, make_pruner
from train.tune_study import FAILURE
from train.tune_trial import PrunedError, Report, continued

EPOCHS = 3
BEST_LR = 3e-3
PATIENCE_S = 300.0
_SMALL = {"epochs": EPOCHS, "batch_size": 8, "image_size": SIDE_PX, "threads": 1, "device": "cpu"}


def _value(options: TrainOptions) -> float:
    return 1 - abs(options.lr - BEST_LR)


def stand_in(_task: Task, options: TrainOptions, report: Report) -> float:
    """For training: the nearer the rate to `BEST_LR` the better, at every epoch."""
    options.out.mkdir(parents=True)
    for epoch in range(1, options.epochs + 1):
        if report(_value(options) * epoch / options.epochs, epoch) and epoch < options.epochs:
            raise PrunedError
    return _value(options)


def _search(data: Path, out: Path, **changed: Any) -> Search:
    given = {**_SMALL, **changed.pop("given", {})}
    return Search("product", data, out, given, **{"trials": 4, "space": ("lr=log:1e-4..1e-1",), **changed})


def _run(search: Search, runner: Any = stand_in, lines: list[str] | None = None) -> Tuned:
    tuner = Tuner(search, None if lines is None else lines.append, runner)
    try:
        return tuner.run()
    finally:
        tuner.study.close()


@pytest.fixture(scope="module")
def tuned(colour_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Two trials of two epochs that were really trained. Read only."""
    out = tmp_path_factory.mktemp("tuned") / "tune"
    return tune(_search(colour_folder, out, trials=2, pruner="none", given={"epochs": 1}))


def test_search_trains_and_keeps_what_each_trial_wrote(tuned: Tuned) -> None:
    assert [trial.state.name for trial in tuned.trials] == ["COMPLETE", "COMPLETE"]
    assert tuned.best is not None and tuned.checkpoint is not None
    assert tuned.best.value == max(trial.value or 0 for trial in tuned.trials)
    artifact = read_artifact(tuned.checkpoint)
    history = json.loads((tuned.checkpoint.parent / "metrics.json").read_text())["history"]
    assert tuned.best.value == max(entry["val_accuracy"] for entry in history)
    assert artifact.spec.task == "product"
    assert not (tuned.checkpoint.parent / "checkpoints").exists()
    assert tuned.best.intermediate_values == {1: tuned.best.value}


def test_search_leaves_a_report(tuned: Tuned) -> None:
    told = json.loads((tuned.out / "tune.json").read_text())
    assert told["best"]["value"] == tuned.best.value if tuned.best else False
    assert [trial["trial"] for trial in told["trials"]] == [1, 2]
    assert (tuned.out / told["best"]["checkpoint"]).is_file()
    page = (tuned.out / "tune.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "accuracy" in page and "http" not in page
    for name in ("history.png", "options.png"):
        with Image.open(tuned.out / name) as image:
            assert image.width > 300


def test_command_to_paste_is_one_that_train_takes(tuned: Tuned, colour_folder: Path) -> None:
    words = shlex.split(tuned.command)
    assert words[:3] == ["edgewright", "train", "product"]
    parser = argparse.ArgumentParser()
    configure_train(parser)
    args = parser.parse_args(words[2:])
    assert args.data == colour_folder and args.epochs == 1 and args.image_size == SIDE_PX
    assert tuned.best is not None
    assert args.lr == pytest.approx(tuned.best.params["lr"], rel=1e-5)


def test_search_goes_on_and_counts_what_is_there(colour_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "tune"
    first = _run(_search(colour_folder, out, trials=3))
    lines: list[str] = []
    second = _run(_search(colour_folder, out, trials=5), lines=lines)
    assert [trial.params for trial in second.trials[:3]] == [trial.params for trial in first.trials]
    assert [line.split(":")[0] for line in lines if line.startswith("trial")] == [
        "trial 4 of 5", "trial 5 of 5",
    ]  # fmt: skip
    whole = _run(_search(colour_folder, tmp_path / "whole", trials=5))
    assert [trial.params for trial in whole.trials] == [trial.params for trial in second.trials]


def test_search_of_something_else_in_the_same_study_is_refused(colour_folder: Path, tmp_path: Path) -> None:
    _run(_search(colour_folder, tmp_path, trials=1))
    for changed, named in (({"given": {"epochs": 4}}, "epochs"), ({"space": ("lr=1..2",)}, "space")):
        with pytest.raises(UsageError, match=f"got one with another {named}"):
            _run(_search(colour_folder, tmp_path, **changed))


def test_trial_that_falls_behind_is_ended(colour_folder: Path, tmp_path: Path) -> None:
    rates = iter([3e-3, 3e-3, 3e-3, 3e-3, 9e-2])

    def scripted(task: Task, options: TrainOptions, report: Report) -> float:
        from dataclasses import replace

        return stand_in(task, replace(options, lr=next(rates)), report)

    lines: list[str] = []
    search = _search(colour_folder, tmp_path, trials=5, given={"epochs": 6})
    found = _run(search, scripted, lines)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 4 + ["PRUNED"]
    assert len(found.trials[-1].intermediate_values) < 6
    assert not (tmp_path / "trial-0005").exists()
    assert any("stopped early" in line for line in lines)


def test_trial_that_diverges_or_fails_is_kept_as_failed(colour_folder: Path, tmp_path: Path) -> None:
    def failing(task: Task, options: TrainOptions, report: Report) -> float:
        if options.out.name == "trial-0002":
            return float("nan")
        if options.out.name == "trial-0003":
            raise RuntimeError("out of memory\nand more")
        return stand_in(task, options, report)

    found = _run(_search(colour_folder, tmp_path), failing)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert "not a number" in found.trials[1].user_attrs[FAILURE]
    assert found.trials[2].user_attrs[FAILURE] == "out of memory"
    assert json.loads((tmp_path / "tune.json").read_text())["trials"][2]["failure"] == "out of memory"


def test_search_whose_first_trial_cannot_be_done_says_why(colour_folder: Path, tmp_path: Path) -> None:
    def failing(*_: Any) -> float:
        raise DataError("Data 'x'", got="nothing", expected="something", fix="Add it.")

    with pytest.raises(DataError, match="Data 'x': got nothing"):
        _run(_search(colour_folder, tmp_path), failing)


def test_search_begins_nothing_after_the_timeout(colour_folder: Path, tmp_path: Path) -> None:
    found = _run(_search(colour_folder, tmp_path, trials=50, timeout_s=1e-9))
    assert len(found.trials) == 1


def test_search_over_folds_takes_their_mean(
    colour_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import tune_trial
    from train.cross_validation import FoldResult

    def folds(options: TrainOptions, *, finish: Any, **_: Any) -> None:
        for number, value in ((1, 0.5), (2, 0.7)):
            finish(FoldResult(number, options.out / "x", 1, {"accuracy": value}, ()))

    monkeypatch.setattr(tune_trial, "cross_validate", folds)
    found = _run(
        _search(colour_folder, tmp_path, trials=1, given={"folds": 2}, pruner="none"), tune_trial.run_trial
    )
    assert found.trials[0].value == pytest.approx(0.6)
    assert found.trials[0].intermediate_values == pytest.approx({1: 0.5, 2: 0.6})
    assert "--folds 2" in found.command


def test_trial_that_is_taken_over_goes_on_where_it_stopped(
    colour_folder: Path, tmp_path: Path, quick: Any
) -> None:
    options = quick(out=tmp_path / "trial-0002")
    old = tmp_path / "trial-0001"
    assert continued(options, old) == options
    old.mkdir()
    (old / "run.json").write_text("{}")
    assert continued(options, old).resume
    assert (tmp_path / "trial-0002" / "run.json").is_file() and not old.exists()


@pytest.mark.parametrize("name", PRUNERS)
def test_pruner_lets_a_first_trial_be(name: str) -> None:
    import optuna

    study = optuna.create_study(pruner=make_pruner(name, 9))
    trial = study.ask()
    for step in range(1, 10):
        trial.report(1.0, step)
        assert not trial.should_prune() or name == "hyperband"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], r"^Option --trials: got 0"),
        (["--timeout", "-1"], r"^Option --timeout: got -1"),
        (["--patience", "nan"], r"^Option --patience: got nan"),
        (["--workers", "2"], r"^Option --workers: got it without --engine ray"),
        (["--resume"], r"^Option --resume: got it for a search"),
        (["--devices", "2"], r"^Option --devices: got 2 for a search"),
        (["--space", "lr=1"], r"^Option --space: got 'lr=1'"),
        (["--lr", "0.1", "--space", "lr=1..2"], r"--lr given as well"),
        (["--epochs", "0"], r"^Option --epochs: got 0"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_command_refuses_in_one_line_and_writes_nothing(
    words: list[str], message: str, colour_folder: Path, tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    args = parser.parse_args(
        ["product", "--data", str(colour_folder), "--out", str(tmp_path / "new"), *words]
    )
    with pytest.raises(UsageError, match=message):
        run(args)
    assert not (tmp_path / "new").exists()


def test_command_prints_trials_and_what_to_paste(
    colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import train.tune

    monkeypatch.setattr(train.tune.Tuner.__init__, "__defaults__", (None, stand_in))
    parser = argparse.ArgumentParser()
    configure(parser)
    words = ["--out", str(tmp_path), "--trials", "2", "--epochs", "2"]
    assert run(parser.parse_args(["product", "--data", str(colour_folder), *words])) == 0
    said = capsys.readouterr().out
    assert "trial 2 of 2:" in said and "study product" in said
    assert "to train so again: edgewright train product --data" in said


def test_command_that_is_interrupted_says_how_to_go_on(
    colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("train.tune.tune", interrupted)
    parser = argparse.ArgumentParser()
    configure(parser)
    args = parser.parse_args(["product", "--data", str(colour_folder), "--out", str(tmp_path)])
    assert run(args) == tune_command._INTERRUPTED
    assert "give the same command again" in capsys.readouterr().err


@pytest.mark.slow
def test_two_commands_share_a_study_and_one_is_killed(
    colour_folder: Path, tmp_path: Path, root: Path
) -> None:
    out, total = tmp_path / "tune", 5
    start = "import sys; from sdk.command import main; sys.exit(main())"
    words = [sys.executable, "-c", start, "tune", "product", "--data", str(colour_folder), "--out", str(out),
             "--trials", str(total), "--epochs", "6", "--batch-size", "8", "--image-size", "16",
             "--threads", "1", "--device", "cpu", "--pruner", "none"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    doomed = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    state = out / "trial-0001" / "checkpoints" / "last.safetensors"
    deadline = time.monotonic() + PATIENCE_S
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert doomed.stdout is not None and other.stdout is not None
    mine = doomed.stdout.readline()
    victim, survivor = (doomed, other) if "trial 1 of" in mine else (other, doomed)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    said = survivor.communicate(timeout=PATIENCE_S)[0]
    assert survivor.returncode == 0, said
    told = json.loads((out / "tune.json").read_text())
    assert [trial["state"] for trial in told["trials"]] == ["done"] * total
    assert "its process is gone; its values are tried again" in said
    for pipe in (doomed.stdout, other.stdout):
        pipe.close()

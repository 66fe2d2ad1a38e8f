"""The search on a real checkpoint: real artifacts, measured in ONNX Runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from export import compress_measure
from export.compress import Search, compress
from export.compress_choice import Limits
from export.compress_progress import SearchProgress
from export.search_space import Candidate, Space
from runtimes import DataError, ProofError, UsageError
from sdk import Predictor
from sdk.command import main
from tests.export.conftest import TEST_IMAGES

GENEROUS = 3.0
"""Points. The small test network on 300 pictures loses about one to int8; what is tested is the search."""
LESS_THAN_FP32 = 100_000
"""Bytes that only a compressed artifact keeps to; so tiny a network need not be faster on a busy machine."""
PATIENCE_S = 300
STUDY_FILES = {".lock", "study.db", "pareto.json", "pareto.png", "work"}
WITHOUT_TRAINING = (Candidate(), Candidate("int8"), Candidate("int8", "mse"), Candidate("int8", keep_worst=1))


def _files(folder: Path) -> set[str]:
    """Without those that stand beside an SQLite file while a process has it open."""
    names = {path.name for path in folder.iterdir()}
    return {name for name in names if not name.startswith(("study.db-", ".study.db"))}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No training."""
    monkeypatch.setattr(Space, "ladder", lambda _self: WITHOUT_TRAINING)


class Watched(SearchProgress):
    """Collects what is said, and can stop a search as Ctrl-C would."""

    def __init__(self, stop_in: int | None = None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._stop_in = stop_in

    def begin(self, number: int, total: int, candidate: Candidate, left_s: float | None) -> None:
        super().begin(number, total, candidate, left_s)
        if number == self._stop_in:
            raise KeyboardInterrupt

    def say(self, line: str) -> None:
        self.lines.append(line)


def _search(checkpoint: Path, data: Path, out: Path, trials: int, **more: Any) -> Search:
    limits = more.pop("limits", Limits(GENEROUS))
    return Search(checkpoint, data, ("onnx",), limits, out, trials=trials, **more)


def _reproducible(out: Path) -> Any:
    """The Pareto file without what is measured anew: latencies, and the choice that rests on them."""
    tree = json.loads((out / "pareto.json").read_text())
    del tree["targets"]
    for trial in tree["trials"]:
        for figures in trial["figures"].values():
            del figures["latency"], figures["gain"]
    return tree


def _command(checkpoint: Path, data: Path, *more: str) -> list[str]:
    return ["compress", str(checkpoint), "--data", str(data), "--to", "onnx", *more]


def test_compress_proves_the_fastest_within_the_budget(
    checkpoint: Path, small_data: Path, tmp_path: Path
) -> None:
    out, progress = tmp_path / "out", Watched()
    # Too little for fp32: which of two is faster is not asked on a busy machine.
    limits = Limits(GENEROUS, max_size_bytes=LESS_THAN_FP32)
    found = compress(_search(checkpoint, small_data, out, 4, limits=limits), progress)
    trial, artifact = found.artifacts["onnx"]
    assert [trial.candidate for trial in found.trials] == list(WITHOUT_TRAINING)
    assert all(trial.failure is None for trial in found.trials)
    assert trial.candidate.precision == "int8"
    assert artifact.path == out / "product_int8.onnx"
    metric = artifact.manifest.evidence.metrics[0]
    assert (metric.split, metric.samples) == ("test", TEST_IMAGES)
    with Predictor(artifact.path) as predictor:
        assert predictor.verify().holds
    tree = json.loads((out / "pareto.json").read_text())
    assert tree["search"]["measured_on"]["split"] == "val"
    assert tree["targets"]["onnx"]["chosen"]["number"] == trial.number
    assert _files(out) == {*STUDY_FILES, "product_int8.onnx"}
    fp32, int8 = (found.trials[number].figures[0] for number in (0, 1))
    assert fp32.no_gain and fp32.drop == 0
    assert int8.size_ratio < 0.5 and not int8.no_gain
    assert sum("no gain" in line for line in progress.lines) >= 1


@pytest.mark.slow
def test_compress_gives_the_same_again_and_after_an_interruption(
    checkpoint: Path, small_data: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    compress(_search(checkpoint, small_data, whole, 2), Watched())
    with pytest.raises(KeyboardInterrupt):
        compress(_search(checkpoint, small_data, broken, 2), Watched(stop_in=2))
    assert not list(broken.glob("*.onnx"))
    progress = Watched()
    compress(_search(checkpoint, small_data, broken, 2), progress)
    assert progress.lines[0] == "1 finished trial is kept"
    assert progress.lines[1].startswith("trial 2 of 2: int8")
    assert _reproducible(whole) == _reproducible(broken)


def test_compress_chooses_anew_under_another_budget_without_another_trial(
    checkpoint: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = _command(checkpoint, small_data, "--trials", "2", "--out", str(out))
    assert main([*words, "--max-size-mb", "0.0001"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("edgewright: Compression to onnx: got none of 2 candidates within the budget")
    assert "the closest int8 minmax" in error and "at most 0.0001 MB" in error
    assert "Quantisation hurts most in " in error
    assert _files(out) == STUDY_FILES
    before = json.loads((out / "pareto.json").read_text())
    assert before["targets"]["onnx"]["chosen"] is None
    enough = ["--max-drop", str(GENEROUS), "--max-size-mb", str(LESS_THAN_FP32 / 1e6)]
    assert main([*words, *enough]) == 0
    told = capsys.readouterr()
    assert "2 finished trials are kept" in told.err and "trial 1 of" not in told.err
    assert "product_int8.onnx: int8 minmax, accuracy" in told.out
    assert json.loads((out / "pareto.json").read_text())["trials"] == before["trials"]
    assert main([*words, "--max-drop", str(GENEROUS)]) == 2
    assert "Say --overwrite to replace it" in capsys.readouterr().err
    first = (out / "pareto.json").read_bytes()
    assert main([*words, *enough, "--overwrite"]) == 0
    assert (out / "pareto.json").read_bytes() == first


def test_compress_keeps_trials_that_fail(
    checkpoint: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compress_measure.lower_candidate

    def fails_for_int8(source: Any, target: str, recipe: Any, *more: Any, **options: Any) -> Any:
        if recipe.precision == "int8":
            raise ProofError("product_int8.onnx", got="NaN", expected="numbers", fix="Keep a layer.")
        return real(source, target, recipe, *more, **options)

    monkeypatch.setattr(compress_measure, "lower_candidate", fails_for_int8)
    found = compress(_search(checkpoint, small_data, tmp_path / "out", 2), Watched())
    assert found.trials[1].failure == "product_int8.onnx: got NaN, expected numbers. Keep a layer."
    assert found.artifacts["onnx"][0].number == 1


def test_compress_begins_no_trial_after_the_timeout(
    checkpoint: Path, small_data: Path, tmp_path: Path
) -> None:
    search = _search(checkpoint, small_data, tmp_path / "out", 4, timeout_s=1e-3)
    progress = Watched()
    found = compress(search, progress)
    # The first is always measured: without it there is nothing to say.
    assert [trial.number for trial in found.trials] == [1]


def test_compress_refuses_data_without_a_test_split(
    checkpoint: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.tasks import get_task

    monkeypatch.setattr(type(get_task("product")), "proof_split", lambda _self, _data: "val")
    with pytest.raises(DataError, match="got no test split"):
        compress(_search(checkpoint, small_data, tmp_path / "out", 1), Watched())
    assert not (tmp_path / "out").exists()


def test_compress_refuses_a_study_of_another_seed(checkpoint: Path, small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        compress(_search(checkpoint, small_data, out, 2), Watched(stop_in=1))
    with pytest.raises(UsageError, match="one with another seed"):
        compress(_search(checkpoint, small_data, out, 2, seed=1), Watched())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(["--max-drop", "-1"], "Option --max-drop: got -1", id="negative drop"),
        pytest.param(["--max-drop", "nan"], "Option --max-drop: got nan", id="drop is no number"),
        pytest.param(["--trials", "0"], "Option --trials: got 0, expected at least 1", id="no trials"),
        pytest.param(["--seed", "-1"], "Option --seed: got -1", id="negative seed"),
        pytest.param(["--timeout", "0"], "Option --timeout: got 0, expected more than 0", id="no time"),
        pytest.param(["--max-size-mb", "0"], "Option --max-size-mb: got 0", id="no size"),
        pytest.param(["--max-latency-ms", "inf"], "Option --max-latency-ms: got inf", id="endless latency"),
        pytest.param(["--to", ","], "Option --to: got no target", id="no target"),
        pytest.param(["--to", "onx"], "Option --to: got 'onx'", id="unknown target"),
        pytest.param(["--data", "nowhere"], "nowhere", id="no data"),
        pytest.param(["--trials", "many"], "argument --trials", id="trials are no number"),
    ],
)
def test_compress_refuses_bad_options_in_one_line(
    options: Sequence[str], text: str, checkpoint: Path, small_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.parent / "compress"
    words = [*_command(checkpoint, small_data), *options]
    try:
        code = main(words)
    except SystemExit as stop:  # argparse's own way out
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert len(error.strip().splitlines()) == 1
    assert text in error
    assert not out.exists()


def test_compress_refuses_what_is_no_checkpoint(
    light_artifact: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_command(light_artifact, small_data, "--out", str(tmp_path / "out"))) == 2
    assert "expected a .safetensors checkpoint" in capsys.readouterr().err


def _start(words: list[str], root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sdk.command", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", [2, 4], ids=["quantising", "pruning"])
def test_compress_killed_outright_goes_on_to_the_same_trials(
    killed_in: int, checkpoint: Path, small_data: Path, tmp_path: Path, root: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = ["--trials", "4", "--max-drop", "50", "--out"]
    process = _start(_command(checkpoint, small_data, *options, str(broken)), root)
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith(f"trial {killed_in} of 4"):
            break
    time.sleep(0.7)  # into the middle of it
    process.send_signal(signal.SIGKILL)
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL, "".join(seen)
    assert not list(broken.glob("*.onnx"))
    again = _start(_command(checkpoint, small_data, *options, str(broken)), root)
    told = again.communicate(timeout=PATIENCE_S)[1]
    assert again.returncode == 0, told
    begun = [line.split()[1] for line in told.splitlines() if line.startswith("trial ")]
    assert begun == [str(number) for number in range(killed_in, 5)]
    unbroken = _start(_command(checkpoint, small_data, *options, str(whole)), root)
    told = unbroken.communicate(timeout=PATIENCE_S)[1]
    assert unbroken.returncode == 0, told
    assert _reproducible(whole) == _reproducible(broken)
    assert not list((broken / "work").glob("*-*"))
    assert len(list((broken / "work" / "checkpoints").iterdir())) == 1
    assert not list(broken.rglob("*.part"))

"""A study that processes share: no trial is lost or doubled, and nobody waits for one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from runtimes import UsageError
from tests.train.study_subjects import open_shared
from train.study_storage import trial_seed
from train.tune_study import AFTER, FAILURE, MOST_TRIES, SURPLUS, Counts, TakenOverError
from train.tune_workers import BEAT, WORKER, Watchman, has_died, is_here, signature

STORAGES = ("study.journal", "study.db")
WORKERS = 2
PATIENCE_S = 120.0


def _start(storage: Path, total: int, seconds: float, root: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.train.study_worker", str(storage), str(total), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)


def _numbers(lines: str, word: str) -> list[int]:
    return [int(line.split()[1]) for line in lines.splitlines() if line.startswith(word)]


@pytest.mark.parametrize("name", STORAGES)
def test_processes_that_share_a_study_lose_and_double_no_trial(name: str, tmp_path: Path, root: Path) -> None:
    total, storage = 8, tmp_path / name
    workers = [_start(storage, total, 0.02, root) for _ in range(WORKERS)]
    said = [worker.communicate(timeout=PATIENCE_S)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * WORKERS
    study = open_shared(storage)
    trials = study.trials()
    assert len(trials) == total
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    done = [number for lines in said for number in _numbers(lines, "end")]
    assert sorted(done) == [trial.number for trial in trials]
    assert all(list(trial.intermediate_values) == [1, 2] for trial in trials)
    study.close()


@pytest.mark.parametrize("name", [STORAGES[0], pytest.param(STORAGES[1], marks=pytest.mark.slow)])
def test_process_that_is_killed_stops_nobody_and_its_trial_is_tried_again(
    name: str, tmp_path: Path, root: Path
) -> None:
    total, storage = 3, tmp_path / name
    doomed = _start(storage, total, 600.0, root)
    assert doomed.stdout is not None
    first = doomed.stdout.readline()
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    doomed.stdout.close()
    begun = time.monotonic()
    said, _ = _start(storage, total, 0.01, root).communicate(timeout=PATIENCE_S)
    assert time.monotonic() - begun < PATIENCE_S
    (lost,) = _numbers(first, "begin")
    study = open_shared(storage)
    trials = study.trials()
    assert len(trials) == total == len(_numbers(said, "end"))
    assert lost not in [trial.number for trial in trials]
    (again,) = [trial for trial in trials if AFTER in trial.user_attrs]
    assert again.user_attrs[AFTER]["number"] == lost
    everything = study._study.get_trials(deepcopy=False)
    assert again.params == everything[lost].params
    assert everything[lost].state == TrialState.FAIL
    study.close()


@pytest.mark.parametrize("name", STORAGES)
def test_claims_beyond_the_total_are_given_back(name: str, tmp_path: Path) -> None:
    one, other = (open_shared(tmp_path / name) for _ in range(2))
    first = one.claim(1)
    assert first is not None and one.claim(1) is None and other.claim(1) is None
    # Another process that had not seen the first one's yet.
    late = other._study.ask()
    late.set_user_attr(WORKER, signature())
    assert other.counts().running == 2
    first.finish(0.5)
    for study in (one, other):
        assert study.trials()[0].value == 0.5
        study.close()


def test_claim_that_is_one_too_many_is_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_shared(tmp_path / STORAGES[0])
    first = study.claim(1)
    assert first is not None
    with monkeypatch.context() as patch:
        patch.setattr(study, "counts", lambda: Counts(0, 0, 0))
        assert study.claim(1) is None
    assert [trial.number for trial in study.trials()] == [0]
    extra = study._study.get_trials(deepcopy=False)[1]
    assert extra.user_attrs[SURPLUS] and extra.state == TrialState.FAIL
    study.close()


def test_first_trial_tries_the_plain_options_and_all_follow_from_the_seed(tmp_path: Path) -> None:
    tried = []
    for name, seed in (("a.journal", 0), ("b.journal", 0), ("c.journal", 1)):
        study = open_shared(tmp_path / name, seed=seed)
        values = []
        while (claim := study.claim(9)) is not None:
            values.append(claim.values)
            claim.finish(claim.values["lr"])
        tried.append(values)
        study.close()
    assert tried[0][0] == {"lr": 0.005, "batch_size": "128"}
    assert tried[0] == tried[1]
    assert tried[0][1:] != tried[2][1:]


def test_trial_that_failed_by_itself_counts_and_is_not_tried_again(tmp_path: Path) -> None:
    study = open_shared(tmp_path / STORAGES[0])
    claim = study.claim(2)
    assert claim is not None
    claim.fail("lr: got 9, expected less. Lower it.")
    assert study.take_over() == []
    assert study.counts() == Counts(1, 0, 0)
    assert study.trials()[0].user_attrs[FAILURE].startswith("lr: got 9")
    study.close()


def test_values_that_kill_every_process_are_given_up(tmp_path: Path) -> None:
    study = open_shared(tmp_path / STORAGES[0], patience_s=0.0)
    for _ in range(MOST_TRIES):
        claim = study.claim(1)
        assert claim is not None
        claim._trial.set_user_attr(WORKER, {"place": "another machine", "pid": 1, "started": 1})
        study.take_over()  # is seen for the first time
        time.sleep(0.01)
        assert study.take_over() == [claim.number]
    assert study.claim(1) is None
    (trial,) = study.trials()
    assert trial.user_attrs[FAILURE] == f"the process that tried it died, {MOST_TRIES} times"
    study.close()


def test_process_that_was_held_for_dead_is_told_so(tmp_path: Path) -> None:
    study = open_shared(tmp_path / STORAGES[0], patience_s=0.0)
    claim = study.claim(1)
    assert claim is not None
    claim._trial.set_user_attr(WORKER, {"place": "another machine", "pid": 1, "started": 1})
    study.take_over()
    time.sleep(0.01)
    assert study.take_over() == [0]
    for act in (lambda: claim.report(0.5, 1), lambda: claim.finish(0.5)):
        with pytest.raises(TakenOverError, match=r"^Trial 0: got it in the hands of another process"):
            act()
    assert study.counts() == Counts(0, 0, 1)
    study.close()


def test_study_of_something_else_is_refused(tmp_path: Path) -> None:
    open_shared(tmp_path / STORAGES[0]).close()
    with pytest.raises(UsageError, match=r"got one with another data, expected the same search"):
        open_shared(tmp_path / STORAGES[0], identity={"data": "beef"})


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        pytest.param("mysql+nothing://me:secret@host/x", r"^Option --storage: got no study", id="no driver"),
        pytest.param("{tmp}/none/study.db", r"^Storage 'study.db': got no folder", id="no folder"),
        pytest.param("{tmp}/text.db", r"^Storage 'text.db': got a file that is no study", id="text"),
    ],
)
def test_storage_that_cannot_be_used_is_one_line_without_passwords(
    storage: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "text.db").write_text("no database at all" * 100)
    with pytest.raises(UsageError, match=message) as error:
        open_shared(storage.format(tmp=tmp_path))
    assert "secret" not in str(error.value)


def test_watchman_asks_the_system_about_this_machine() -> None:
    me = signature()
    assert is_here(me) and not has_died(me)
    assert has_died({**me, "started": me["started"] + 1})  # the number was given to another process
    child = subprocess.Popen([sys.executable, "-c", ""])
    other = {**me, "pid": child.pid}
    child.wait()
    assert has_died(other)
    assert not has_died({**other, "place": "elsewhere"}) and not has_died(None)
    assert Watchman(PATIENCE_S).is_lost(0, {WORKER: other})


def test_watchman_waits_for_a_number_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watchman, far = Watchman(60.0), {"place": "elsewhere", "pid": 1, "started": 1}
    for beat in range(5):
        now[0] += 50.0
        assert not watchman.is_lost(3, {WORKER: far, BEAT: beat})
    now[0] += 61.0
    assert watchman.is_lost(3, {WORKER: far, BEAT: 4})


def test_trial_seeds_are_independent() -> None:
    assert len({trial_seed(seed, number) for seed in range(3) for number in range(50)}) == 150

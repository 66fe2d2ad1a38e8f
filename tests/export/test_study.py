"""The study: proposals follow from the seed and the finished trials, and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from export.recipe import FP16, FP32, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from export.search_space import Candidate, Space, distance, space_for
from export.study import STUDY_FILE, Study
from export.trial import Trial
from runtimes import UsageError
from tests.export.compress_subjects import measured

SPACE = Space((INT8,), 5)
IDENTITY = {"checkpoint": "c0ffee", "seed": 0}
TRIALS = 13


Measure = Callable[[int, Candidate], Trial]


def _run(
    folder: Path, seed: int, count: int, space: Space = SPACE, measure: Measure = measured
) -> list[Trial]:
    with Study(folder, IDENTITY, space, seed) as study:
        while len(study.trials) < count:
            proposal = study.next()
            assert proposal is not None
            study.finish(measure(*proposal))
        return study.trials


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """Fresh folders, one after the other."""

    def fresh() -> Iterator[Path]:
        number = 0
        while True:
            number += 1
            folder = tmp_path / str(number)
            folder.mkdir()
            yield folder

    return fresh()


def test_study_proposes_the_same_with_the_same_seed(folders: Iterator[Path]) -> None:
    first, again, other = (_run(next(folders), seed, TRIALS) for seed in (0, 0, 1))
    assert first == again
    ladder = len(SPACE.ladder())
    assert [trial.candidate for trial in first[:ladder]] == list(SPACE.ladder())
    assert first[ladder:] != other[ladder:]


def test_study_goes_on_as_if_it_had_not_stopped(folders: Iterator[Path]) -> None:
    whole, folder = _run(next(folders), 3, TRIALS), next(folders)
    for count in (1, 4, 9, 11, TRIALS):
        stopped = _run(folder, 3, count)
    assert stopped == whole


def test_study_gives_a_trial_that_did_not_end_its_own_number_again(tmp_path: Path) -> None:
    _run(tmp_path, 0, 10)
    proposals = []
    for _ in range(2):
        with Study(tmp_path, IDENTITY, SPACE, 0) as study:
            proposals.append(study.next())
    assert proposals[0] == proposals[1]
    assert proposals[0] is not None and proposals[0][0] == 11


def test_study_repeats_no_candidate(folders: Iterator[Path]) -> None:
    candidates = [trial.candidate for trial in _run(next(folders), 0, 30)]
    assert len(set(candidates)) == 30


def test_study_does_not_see_latency(folders: Iterator[Path]) -> None:
    def slower(number: int, candidate: Candidate) -> Trial:
        trial = measured(number, candidate)
        (figures,) = trial.figures
        slow = replace(figures.latency, ratio=figures.latency.ratio * (1 + 0.01 * number))
        return replace(trial, figures=(replace(figures, latency=slow),))

    first = _run(next(folders), 0, TRIALS)
    second = _run(next(folders), 0, TRIALS, measure=slower)
    assert [trial.candidate for trial in first] == [trial.candidate for trial in second]
    assert first != second


def test_study_keeps_failed_trials(tmp_path: Path) -> None:
    failed = Trial(1, SPACE.ladder()[0], (), 0.0, 1.0, "a.onnx: got NaN, expected numbers. Look.")
    with Study(tmp_path, IDENTITY, SPACE, 0) as study:
        study.finish(failed)
        assert study.next() == (2, SPACE.ladder()[1])
    assert _run(tmp_path, 0, TRIALS)[0] == failed


def test_study_ends_where_everything_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.search_space.MOST_PRUNED", 5)
    small = Space((), 0)
    everything = set(small.all())
    ladder = tuple(candidate for candidate in small.ladder() if candidate in everything)
    monkeypatch.setattr(Space, "ladder", lambda _self: ladder)
    trials = _run(tmp_path, 0, len(everything), small)
    assert {trial.candidate for trial in trials} == everything
    with Study(tmp_path, IDENTITY, small, 0) as study:
        assert study.next() is None


def test_study_of_something_else_is_refused_and_replaced_with_overwrite(tmp_path: Path) -> None:
    _run(tmp_path, 0, 2)
    other = {**IDENTITY, "checkpoint": "beef"}
    with pytest.raises(UsageError, match=r"got one with another checkpoint, expected .* --overwrite\.$"):
        Study(tmp_path, other, SPACE, 0)
    assert len(_run(tmp_path, 0, 2)) == 2
    with Study(tmp_path, other, SPACE, 0, overwrite=True) as study:
        assert study.trials == []


def test_study_of_the_same_thing_is_kept_with_overwrite(tmp_path: Path) -> None:
    _run(tmp_path, 0, 2)
    with Study(tmp_path, IDENTITY, SPACE, 0, overwrite=True) as study:
        assert len(study.trials) == 2


def test_study_is_open_to_one_search_at_a_time(tmp_path: Path) -> None:
    with (
        Study(tmp_path, IDENTITY, SPACE, 0),
        pytest.raises(UsageError, match="another search is writing to"),
    ):
        Study(tmp_path, IDENTITY, SPACE, 0)
    with Study(tmp_path, IDENTITY, SPACE, 0) as study:
        assert study.trials == []


def test_study_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / STUDY_FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(UsageError, match="a file that is no study"):
        Study(tmp_path, IDENTITY, SPACE, 0)
    assert (tmp_path / STUDY_FILE).read_bytes().startswith(b"no database")


@pytest.mark.parametrize("candidate", SPACE.ladder(), ids=lambda candidate: candidate.label)
def test_candidate_is_the_same_after_a_round_trip_through_optuna(candidate: Candidate) -> None:
    assert SPACE.candidate(SPACE.values(candidate)) == candidate


def test_candidate_that_gives_the_same_artifact_is_the_same() -> None:
    one = Candidate(FP32, "mse", 0, "taylor", 4, 3)
    assert one.canonical() == Candidate()
    pruned = Candidate(INT8, "mse", 50, "taylor", 4, 3)
    assert pruned.canonical() == pruned


def test_candidate_key_is_stable() -> None:
    assert Candidate(INT8, "mse", 50, "taylor", 2, 1).key == (
        '{"calibrator":"mse","epochs":2,"importance":"taylor","keep_worst":1,"precision":"int8",'
        '"pruned_percent":50}'
    )


def test_candidate_says_what_it_is() -> None:
    text = Candidate(INT8, "mse", 50, "taylor", 1, 2).label
    assert text == "50 % pruned (taylor, 1 epoch) + int8 mse, 2 layers fp32"


def test_space_holds_every_candidate_once_and_the_ladder() -> None:
    everything = list(SPACE.all())
    assert len(set(everything)) == len(everything)
    assert set(SPACE.ladder()) <= set(everything)
    assert all(candidate == candidate.canonical() for candidate in everything)


@pytest.mark.parametrize(
    ("targets", "matrix_share", "precisions"),
    [
        pytest.param(["onnx"], 0.1, (INT8,), id="convolutions"),
        pytest.param(["onnx", "pte"], 0.9, (INT8, INT8_DYNAMIC), id="matrices"),
        pytest.param(["trt"], 0.1, (INT8, FP16), id="gpu"),
    ],
)
def test_space_offers_what_can_gain(
    targets: list[str], matrix_share: float, precisions: tuple[str, ...]
) -> None:
    known = [FP32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS]
    assert space_for(known, targets, matrix_share, 5).precisions == precisions


def test_distance_counts_what_differs() -> None:
    one = Candidate(INT8, "mse", 40, "taylor", 2, 0)
    assert distance(one, one) == 0
    near, far = Candidate(INT8, "mse", 45, "taylor", 2, 0), Candidate(FP32, "minmax", 45, "magnitude", 1, 0)
    assert 0 < distance(one, near) < 1 < distance(one, far)

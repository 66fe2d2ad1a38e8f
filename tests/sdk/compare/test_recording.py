"""Recorded baselines: what they keep, where they hold, and what spoils them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runtimes import UsageError
from sdk.command import main
from sdk.compare import PASS, REGRESSION, UNDECIDED, Contestant, recording
from sdk.compare.recording import Recording, compare_with_recording, read_recording, record


@pytest.fixture
def recorded(chain: Path, launches: Callable[..., list], monkeypatch: pytest.MonkeyPatch) -> Recording:
    """A record of `chain` at 2 ms; what is launched from then on comes from the same noise."""
    _launch_from(monkeypatch, launches(1, 100))
    return record(Contestant(chain))


def _launch_from(monkeypatch: pytest.MonkeyPatch, records: list) -> None:
    series = iter(records)
    monkeypatch.setattr(recording, "run_round", lambda *_: [next(series)])


def test_record_round_trips(recorded: Recording, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(recorded.dumps())

    assert read_recording(path) == recorded
    assert len(recorded.launches) == 20


@pytest.mark.parametrize(("ms", "verdict"), [(2.0, PASS), (2.4, REGRESSION)], ids=["same", "slower"])
def test_candidate_is_judged_against_the_record(
    recorded: Recording,
    chain: Path,
    launches: Callable[..., list],
    monkeypatch: pytest.MonkeyPatch,
    *,
    ms: float,
    verdict: str,
) -> None:
    _launch_from(monkeypatch, launches(2, 100, ms))

    found = compare_with_recording(recorded, Contestant(chain))

    assert (found.verdict, found.interleaved, found.note) == (verdict, False, "")


def test_nothing_is_said_of_time_when_the_machine_changed_speed(
    recorded: Recording, chain: Path, launches: Callable[..., list], monkeypatch: pytest.MonkeyPatch
) -> None:
    slower = [replace(launch, yardstick_s=0.013) for launch in launches(2, 100, 2.6)]
    _launch_from(monkeypatch, slower)

    found = compare_with_recording(recorded, Contestant(chain))

    assert found.verdict == UNDECIDED and "1.30 times as long" in found.note
    assert {v.metric: v.verdict for v in found.verdicts}["memory"] == PASS


def test_other_class_of_machine_is_refused(
    recorded: Recording, chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(replace(recorded, machine="aarch64 | Cortex-A78AE | 6 cores").dumps())

    assert main(["compare", str(path), str(chain)]) == 2
    assert "another class of machine: aarch64 | Cortex-A78AE | 6 cores" in capsys.readouterr().err


def test_other_task_is_refused(recorded: Recording, chain: Path) -> None:
    other = replace(recorded, spec=replace(recorded.spec, task="segmentation"))

    with pytest.raises(UsageError, match="another task"):
        compare_with_recording(other, Contestant(chain))


def _without_launches(tree: dict) -> dict:
    return {**tree, "launches": tree["launches"][:3]}


def _with_text(tree: dict) -> dict:
    return {**tree, "launches": [{**tree["launches"][0], "cold_start_s": "soon"}, *tree["launches"][1:]]}


def _negative(tree: dict) -> dict:
    return {**tree, "launches": [{**tree["launches"][0], "cold_start_s": -1.0}, *tree["launches"][1:]]}


def _other_version(tree: dict) -> dict:
    return {**tree, "version": 99}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="cut short"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "[]", id="another JSON"),
        pytest.param(lambda text: json.dumps(_without_launches(json.loads(text))), id="launches missing"),
        pytest.param(lambda text: json.dumps(_with_text(json.loads(text))), id="text for a number"),
        pytest.param(lambda text: json.dumps(_negative(json.loads(text))), id="negative duration"),
        pytest.param(lambda text: json.dumps(_other_version(json.loads(text))), id="another version"),
    ],
)
def test_corrupted_record_is_one_line_and_exit_code_2(
    recorded: Recording,
    chain: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[str], str],
) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(spoil(recorded.dumps()))

    assert main(["compare", str(path), str(chain)]) == 2
    error = capsys.readouterr().err
    assert "Recorded baseline 'baseline.json'" in error and error.count("\n") == 1


def test_record_that_is_not_utf8_is_refused(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "baseline.json").write_bytes(b"\xff\xfe\x00")

    assert main(["compare", str(tmp_path / "baseline.json"), str(chain)]) == 2


def test_command_records_and_compares(
    recorded: Recording, chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"

    assert main(["compare", "--record", str(path), str(chain)]) == 0
    assert "20 launches of chain.onnx" in capsys.readouterr().out
    assert main(["compare", str(path), str(chain)]) == 0

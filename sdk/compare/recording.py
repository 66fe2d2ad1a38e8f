"""Recorded baselines: launches of one artifact as JSON, to be compared with on the same class of machine."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtimes import SpecError, UsageError
from sdk.artifact import read_artifact
from sdk.artifact.provenance import now_utc
from sdk.codec import from_json, to_json
from sdk.compare.comparison import (
    BUDGET_S,
    FEWEST_ROUNDS,
    Comparison,
    Progress,
    require_inputs,
    require_proof,
    require_same_job,
    this_machine_class,
)
from sdk.compare.rounds import Contestant, LaunchRecord, run_round
from sdk.compare.verdict import UNDECIDED, Limits, Verdict, judge, judge_size, measured_metrics
from sdk.spec import Spec

RECORDING_VERSION = 1
LAUNCHES = 20
SAME_SPEED = 1.03
"""The fixed piece of work may take so many times longer or shorter than when the baseline was recorded."""
_TIMED = ("latency", "median", "tail", "cold start")


@dataclass(frozen=True)
class Recording:
    """A baseline that was measured before.

    Attributes:
        version: Layout of the file.
        created_utc: ISO 8601.
        machine: Class of the machine it was measured on.
        artifact: Its file name.
        payload_sha256: Which payload it was.
        size_bytes: Of the file.
        spec: Its contract.
        options: Runtime options it ran with.
        launches: One record per fresh process.
    """

    version: int
    created_utc: str
    machine: str
    artifact: str
    payload_sha256: str
    size_bytes: int
    spec: Spec
    options: dict[str, Any]
    launches: tuple[LaunchRecord, ...]

    def dumps(self) -> str:
        """As JSON text."""
        return json.dumps(to_json(self)) + "\n"

    @property
    def path(self) -> Path:
        """The artifact's file name, as `require_same_job` names it."""
        return Path(self.artifact)


def record(contestant: Contestant, *, progress: Progress | None = None) -> Recording:
    """Measure one artifact in `LAUNCHES` fresh processes.

    Raises:
        InputError: There is nothing to predict on.
        ArtifactError: It does not give its proved answers.
    """
    artifact = read_artifact(contestant.path)
    require_inputs(artifact, contestant)
    require_proof(contestant)
    records = list(_launches(contestant, LAUNCHES, None, progress))
    return Recording(
        RECORDING_VERSION,
        now_utc(),
        this_machine_class(),
        artifact.path.name,
        artifact.manifest.payload_sha256,
        artifact.size_bytes,
        artifact.spec,
        dict(contestant.options),
        tuple(records),
    )


def read_recording(path: Path) -> Recording:
    """Read what `Recording.dumps` wrote.

    Raises:
        UsageError: The file is not there, is no JSON, or is no recording of this version.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(tree, dict) or tree.get("version") != RECORDING_VERSION:
            raise ValueError(f"no recording of version {RECORDING_VERSION}")
        recording = from_json(Recording, tree, "recording")
        _require_whole(recording)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, SpecError) as error:
        raise _unreadable(
            path, f"a file that cannot be read ({' '.join(str(error).split())[:160]})"
        ) from error
    return recording


def compare_with_recording(
    recording: Recording,
    candidate: Contestant,
    limits: Limits | None = None,
    *,
    budget_s: float = BUDGET_S,
    progress: Progress | None = None,
) -> Comparison:
    """Launch the candidate as often as the baseline was, and judge it.

    Both were measured at different times, so their ratio is less certain than that of two artifacts in turns.
    When a fixed piece of work shows that the machine runs at another speed now, nothing is said about time.

    Raises:
        UsageError: Another class of machine, or another job.
        InputError: There is nothing to predict on.
        ArtifactError: The candidate does not give its proved answers.
    """
    artifact = read_artifact(candidate.path)
    _require_same_machine(recording)
    require_same_job(recording, artifact)
    require_inputs(artifact, candidate)
    require_proof(candidate)
    begin = time.perf_counter()
    records = list(_launches(candidate, len(recording.launches), budget_s, progress))
    limits = limits or Limits()
    verdicts = [
        judge(metric, recording.launches, records, paired=False) for metric in measured_metrics(limits)
    ]
    note = _speed_note(recording.launches, records)
    if note:
        verdicts = [_unsure(v) if v.metric in _TIMED else v for v in verdicts]
    size = judge_size(recording.size_bytes, artifact.size_bytes, limits.size)
    return Comparison(
        f"{recording.artifact} of {recording.created_utc}",
        artifact.path.name,
        (*verdicts, size),
        len(records),
        time.perf_counter() - begin,
        interleaved=False,
        machine=recording.machine,
        note=note,
    )


def _launches(
    contestant: Contestant, most: int, budget_s: float | None, progress: Progress | None
) -> Iterator[LaunchRecord]:
    begin, order, blocks = time.perf_counter(), random.Random(0), None
    for number in range(1, most + 1):
        (launch,) = run_round((contestant,), order, blocks)
        blocks = len(launch.blocks_s)
        yield launch
        spent = time.perf_counter() - begin
        if progress:
            progress(f"launch {number} of {most}, {spent:.0f} s")
        if budget_s and number >= FEWEST_ROUNDS and spent * (number + 1) / number > budget_s:
            return


def _speed_note(before: tuple[LaunchRecord, ...], now: list[LaunchRecord]) -> str:
    then_s, now_s = (float(np.median([r.yardstick_s or 0 for r in records])) for records in (before, now))
    ratio = now_s / then_s
    if 1 / SAME_SPEED <= ratio <= SAME_SPEED:
        return ""
    return (
        f"This machine takes {ratio:.2f} times as long for a fixed piece of work as when the baseline was "
        "recorded, so nothing can be said about time. Record it again, or compare the two artifacts in turns."
    )


def _unsure(verdict: Verdict) -> Verdict:
    return replace(verdict, verdict=UNDECIDED)


def _require_same_machine(recording: Recording) -> None:
    here = this_machine_class()
    if here != recording.machine:
        raise UsageError(
            "Recorded baseline",
            got=f"one from another class of machine: {recording.machine}",
            expected=f"this one: {here}",
            fix="Record the baseline here with `edgewright compare --record FILE ARTIFACT`.",
        )


def _require_whole(recording: Recording) -> None:
    sizes = {len(launch.blocks_s) for launch in recording.launches}
    durations = [s for launch in recording.launches for block in launch.blocks_s for s in block]
    figures = [launch.cold_start_s * (launch.yardstick_s or 0) for launch in recording.launches] + durations
    if len(recording.launches) < FEWEST_ROUNDS or len(sizes) != 1 or not durations or min(figures) <= 0:
        raise ValueError("launches are missing, or their durations make no sense")


def _unreadable(path: Path, got: str) -> UsageError:
    return UsageError(
        f"Recorded baseline {path.name!r}",
        got=got,
        expected="a file written by `edgewright compare --record`",
        fix="Record it again on this machine.",
    )

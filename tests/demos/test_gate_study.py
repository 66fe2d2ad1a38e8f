"""The study of the gate: its counting, and that the documentation quotes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from demos.gate_study import LAYERS, TABLE_BEGIN, TABLE_END, Series, _naive, study, table
from sdk.artifact import read_artifact
from sdk.compare.rounds import LaunchRecord
from sdk.predictor import Predictor

MOST_FALSE_ALARMS, FEWEST_OF_5, FEWEST_OF_10 = 1, 95, 99
LONGEST_S = 60


def _launches(ms: float, count: int, seed: int) -> list[LaunchRecord]:
    draw = np.random.default_rng(seed)
    return [
        LaunchRecord(0.3, 90_000_000, tuple(map(tuple, 1e-3 * ms * (1 + draw.random((6, 8)) / 50))), None)
        for _ in range(count)
    ]


def test_series_begins_a_comparison_every_few_rounds() -> None:
    series = Series()
    for baseline, candidate in zip(_launches(2, 20, 1), _launches(2.4, 20, 2), strict=True):
        series.add(baseline, candidate, 3.0)

    assert [one["rounds"] for one in series.ended] == [6, 6, 6, 6, 6]
    assert all(one["regressed"] == ["latency", "median"] for one in series.ended)


def test_naive_rule_counts_both_ways() -> None:
    naive = _naive(_launches(2, 40, 1), _launches(2.4, 40, 2))

    assert naive == {
        "in_turns": {"comparisons": 4, "regression": 4},
        "in_a_row": {"comparisons": 3, "regression": 3},
    }


def test_documentation_quotes_the_study(root: Path) -> None:
    found = json.loads((root / "docs" / "gate-study.json").read_text())
    quoted = (root / "docs" / "gate.md").read_text().split(TABLE_BEGIN)[1].split(TABLE_END)[0]

    assert quoted.strip() == table(found)


def test_study_on_busy_cores_keeps_the_promise(root: Path) -> None:
    series = json.loads((root / "docs" / "gate-study.json").read_text())["neighbours"]["series"]
    counts = {name: one["regression"] for name, one in series.items()}

    assert all(one["comparisons"] == 100 and one["longest_seconds"] <= LONGEST_S for one in series.values())
    assert counts["same"] <= MOST_FALSE_ALARMS
    assert counts["5 % more layers"] >= FEWEST_OF_5
    assert counts["10 % more layers"] >= FEWEST_OF_10


@pytest.mark.slow
def test_study_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdk.compare.rounds.MOST_BLOCKS", 6)

    found = study(1, loaded=True)

    assert set(found["series"]) == set(LAYERS) - {"baseline"}
    assert all(one["comparisons"] == 1 for one in found["series"].values())
    assert table({"neighbours": found}).count("\n") == 4


def test_chain_gives_its_proved_answers(tmp_path: Path) -> None:
    from demos.study_models import write_chain

    path = write_chain(tmp_path / "chain.onnx", 3)
    with Predictor(path) as predictor:
        assert predictor.verify().holds
    assert read_artifact(path).manifest.samples

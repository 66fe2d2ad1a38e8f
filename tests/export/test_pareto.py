"""The Pareto set: what is in it, and what is written of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.compress_choice import Limits, choose, ranked
from export.pareto import PARETO_VERSION, pareto_json, pareto_png, pareto_set, pareto_table
from export.search_space import Candidate
from export.trial import Trial
from runtimes import ProofError
from sdk.artifact import read_artifact
from tests.export.compress_subjects import PARENT_MS, figures_of, trial_of

FAILED = Trial(9, Candidate("int8"), (), 0.0, 1.0, "product_int8.onnx: got NaN, expected numbers. Look.")
SLOW = trial_of(1, figures_of(drop=0.0, ratio=1.0))
FAST = trial_of(2, figures_of(drop=0.4, ratio=0.3, size_bytes=250_000))
WORSE = trial_of(3, figures_of(drop=0.5, ratio=0.6, size_bytes=300_000))
FASTEST = trial_of(4, figures_of(drop=2.0, ratio=0.1, size_bytes=90_000))
TRIALS = [SLOW, FAST, WORSE, FASTEST, FAILED]


def test_pareto_set_leaves_out_what_another_beats_in_everything() -> None:
    assert [trial.number for trial in pareto_set(TRIALS, "onnx")] == [4, 2, 1]


@pytest.mark.parametrize(
    ("figures", "inside"),
    [
        pytest.param(figures_of(drop=0.4, ratio=0.302, size_bytes=250_000), False, id="equal within noise"),
        pytest.param(figures_of(drop=0.39, ratio=0.302, size_bytes=250_000), True, id="more accurate"),
        pytest.param(figures_of(drop=0.4, ratio=0.302, size_bytes=249_999), True, id="smaller"),
        pytest.param(figures_of(drop=0.4, ratio=0.2, size_bytes=250_000), True, id="clearly faster"),
        pytest.param(figures_of(drop=0.41, ratio=0.298, size_bytes=250_000), False, id="faster within noise"),
    ],
)
def test_pareto_set_counts_latencies_within_noise_as_equal(figures: object, inside: bool) -> None:
    front = pareto_set([FAST, trial_of(5, figures)], "onnx")
    assert (5 in [trial.number for trial in front]) is inside


def test_pareto_set_is_one_per_target() -> None:
    first = trial_of(1, figures_of("onnx", 0.1, 0.5), figures_of("pte", 0.1, 0.9))
    second = trial_of(2, figures_of("onnx", 0.1, 0.9), figures_of("pte", 0.1, 0.5))
    assert pareto_set([first, second], "onnx") == [first]
    assert pareto_set([first, second], "pte") == [second]


def test_pareto_table_marks_the_chosen_one_and_what_gains_nothing() -> None:
    table = pareto_table(TRIALS, "onnx", 2)
    columns = {column.header: list(column.cells) for column in table.columns}
    assert columns["trial"] == ["4", "2", "1", "3", "9"]
    assert columns[""] == ["●", "★", "●", "", ""]
    assert columns["gain"][2] == "no gain"
    assert columns["gain"][4] == "failed"
    assert columns["latency"][0] == "0.10×"


def test_pareto_json_is_the_same_text_for_the_same_trials() -> None:
    chosen = {"onnx": {"number": 2, "file": "product_int8.onnx"}}
    texts = {pareto_json(TRIALS, ["onnx"], {"seed": 0}, chosen) for _ in range(2)}
    assert len(texts) == 1
    tree = json.loads(texts.pop())
    assert tree["version"] == PARETO_VERSION
    assert tree["targets"]["onnx"] == {"pareto": [4, 2, 1], "chosen": chosen["onnx"]}
    assert [trial["number"] for trial in tree["trials"]] == [1, 2, 3, 4, 9]
    assert "seconds" not in tree["trials"][0]
    assert tree["trials"][4]["failure"] == FAILED.failure


def test_pareto_png_is_a_picture_with_a_panel_per_target() -> None:
    from io import BytesIO

    from PIL import Image

    both = [trial_of(1, figures_of("onnx", 0.1, 0.5), figures_of("pte", 0.1, 0.9)), FAILED]
    widths = []
    for targets in (["onnx"], ["onnx", "pte"]):
        with Image.open(BytesIO(pareto_png(both, targets, {"onnx": 1}, 0.5))) as picture:
            assert picture.format == "PNG"
            widths.append(picture.width)
    assert widths[1] == 2 * widths[0]


def test_pareto_png_shows_a_search_without_measured_trials() -> None:
    assert pareto_png([FAILED], ["onnx"], {}, 0.5).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("limits", "numbers"),
    [
        pytest.param(Limits(0.5), [2, 3, 1], id="drop"),
        pytest.param(Limits(5.0), [4, 2, 3, 1], id="any drop"),
        pytest.param(Limits(0.5, max_latency_ms=0.3 * PARENT_MS), [2], id="latency"),
        pytest.param(Limits(5.0, max_size_bytes=100_000), [4], id="size"),
        pytest.param(Limits(0.0, max_size_bytes=100_000), [], id="none"),
    ],
)
def test_ranked_holds_every_limit_and_puts_the_fastest_first(limits: Limits, numbers: list[int]) -> None:
    assert [trial.number for trial in ranked(TRIALS, "onnx", limits)] == numbers


def test_choose_takes_the_next_where_the_proof_fails(light_artifact: Path) -> None:
    asked = []

    def prove(trial: Trial, _target: str) -> object:
        asked.append(trial.number)
        if trial.number == 2:
            raise ProofError("a.onnx", got="a drop of 0.7", expected="0.5", fix="Nothing.")
        return read_artifact(light_artifact)

    choice = choose(TRIALS, "onnx", Limits(0.5), prove, tuple)
    assert asked == [2, 3]
    assert (choice.trial.number, choice.refused) == (3, (2,))


def test_choose_names_the_closest_and_the_worst_layers_where_nothing_holds() -> None:
    def prove(_trial: Trial, _target: str) -> object:
        raise AssertionError("nothing meets the limits, so nothing is proved")

    with pytest.raises(ProofError) as caught:
        choose(TRIALS, "onnx", Limits(0.3, max_size_bytes=260_000), prove, lambda: ["a", "b", "c", "d"])
    text = str(caught.value)
    assert caught.value.exit_code == 1
    assert "none of 4 candidates within the budget, the closest 2 % pruned" in text
    assert "drop of 0.40 points, 0.6 ms and 0.25 MB" in text
    assert "a drop of at most 0.3 points, at most 0.26 MB" in text
    assert "hurts most in a, b, c." in text


def test_choose_says_what_the_proof_said_where_it_refused_all() -> None:
    def prove(_trial: Trial, _target: str) -> object:
        raise ProofError("a.onnx", got="accuracy 80 %", expected="more", fix="Nothing.")

    with pytest.raises(ProofError, match="held in the search and not in the proof: accuracy 80 %"):
        choose([FAST], "onnx", Limits(0.5), prove, tuple)

"""Task ``gpt``: training, its metric, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtimes import DataError, UsageError
from sdk import Predictor
from sdk.artifact import Artifact
from sdk.results import TextScore
from tests.tiny_gpt import CONTEXT, rhyme, write_tiny_gpt
from train.options import make_options
from train.tasks import get_task
from train.tasks.base import Split
from train.tasks.gpt_plan import TextWindows

SAME = 1e-4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_tiny_gpt(tmp_path_factory.mktemp("gpt"), epochs=6, lr=1e-2)


def _score(*logarithms: float) -> TextScore:
    scores = np.array(logarithms, np.float32)
    return TextScore(scores, np.arange(len(scores)), None)


def test_perplexity_is_that_of_all_tokens_together() -> None:
    results = [_score(-1.0, -2.0, -3.0), _score(-0.5)]
    split = Split("val", ["abcd", "ef"], [True, True], (), "")
    perplexity, bits = get_task("gpt").measure(results, split)
    assert perplexity.value == pytest.approx(np.exp(6.5 / 4))
    assert perplexity.low < perplexity.value < perplexity.high
    assert (perplexity.mode, perplexity.unit) == ("min", "")
    # Three of four bytes, and one of two: the first token of each window is not counted.
    assert bits.value == pytest.approx(6.5 / np.log(2) / (3 + 1))


def test_agreement_is_the_share_of_places_with_the_same_expectation() -> None:
    one, other = _score(-1, -1, -1, -1), _score(-1, -1, -1, -1)
    other.likeliest[0] = 9
    assert get_task("gpt").agreement([one, one], [one, other]) == 7 / 8


def test_training_learns_and_is_judged_through_the_spec(checkpoint: Artifact) -> None:
    perplexity = checkpoint.manifest.evidence.metrics[0]
    assert perplexity.name == "perplexity"
    assert 1 < perplexity.value < 60, "there are 300 tokens"
    data = checkpoint.path.parent.parent / "rhyme.txt"
    task = get_task("gpt")
    split = task.load_split(data, "val", checkpoint.spec)
    with Predictor(checkpoint.path) as predictor:
        batches = list(predictor.measuring_batches(split.items))
        results = [result for found, _, _ in batches for result in found]
        again = task.measure(results, split)[0]
        assert predictor.verify().holds
    assert again.value == pytest.approx(perplexity.value, rel=SAME)
    assert task.proof_split(data) == "val"


def test_report_shows_how_text_before_a_token_helps(checkpoint: Artifact) -> None:
    task = get_task("gpt")
    split = Split("val", ["x"] * 2, [False, True], (), "")
    report = task.report([_score(*[-3.0] * 7, *[-1.0] * 20), _score(-3.0)], split)
    assert report.rows == (("1–7", f"{np.exp(3):.2f}", "8"), ("8–27", f"{np.exp(1):.2f}", "20"))
    assert report.figures["tokens"] == 28


def test_windows_are_drawn_from_the_whole_text(checkpoint: Artifact) -> None:
    task = get_task("gpt")
    split = task.load_split(checkpoint.path.parent.parent / "rhyme.txt", "train", checkpoint.spec)
    windows = TextWindows(split, checkpoint.spec)
    drawn = [windows[_draw(seed)] for seed in range(400)]
    assert all(len(window) == CONTEXT + 1 for window in drawn)
    text = windows.tokens.tolist()
    first, last = text[: CONTEXT + 1], text[-CONTEXT - 1 :]
    begins = {window.tobytes() for window in drawn}
    assert len(begins) > 150
    everything = " ".join(map(str, text))
    assert all(" ".join(map(str, window.tolist())) in everything for window in drawn)
    assert windows[_draw(7)].tolist() == windows[_draw(7)].tolist()
    assert len(windows) == len(text) // CONTEXT
    assert text[-1] == checkpoint.spec.input.start_id, "a document ends"  # type: ignore[attr-defined]
    assert first != last


def _draw(seed: int) -> object:
    from train.sampling import Draw

    return Draw(0, seed)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "resnet18"}, "Option --model"),
        ({"width": 10, "heads": 3}, "a multiple of --heads 3"),
        ({"context": 1}, "Option --context"),
        ({"vocabulary": 100}, "at least 258"),
        ({"dropout": 1.0}, "Option --dropout"),
        ({"tokenizer": "words"}, "Option --tokenizer"),
        ({"pretrained_from": Path("gpt2"), "layers": 2}, "--layers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_cannot_be_honoured_are_refused(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_options("gpt", tmp_path, **given)


def test_text_shorter_than_a_window_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text(rhyme(12), encoding="utf-8")
    options = make_options("gpt", tmp_path / "short.txt", tmp_path / "run", context=512)
    with pytest.raises(DataError, match="which one window takes"):
        get_task("gpt").plan(options)


def test_run_goes_on_from_a_checkpoint(checkpoint: Artifact, tmp_path: Path) -> None:
    again = write_tiny_gpt(tmp_path, start=checkpoint.path, **_told_by_the_checkpoint())
    assert again.manifest.evidence.parent_sha256 == checkpoint.manifest.payload_sha256
    assert again.spec == checkpoint.spec
    before, after = (one.manifest.evidence.metrics[0].value for one in (checkpoint, again))
    assert after < 1.5 * before


def _told_by_the_checkpoint() -> dict[str, None]:
    return dict.fromkeys(("layers", "width", "heads", "context", "vocabulary"))

"""Task ``seq2seq``: options, plan, loss, metrics, and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from runtimes import DataError, UsageError
from sdk import Predictor, read_artifact
from sdk.results import Attention, GeneratedText
from tests.train.small_pairs import QUICK_PAIRS, WORDS, write_number_pairs
from train.loop import train
from train.options import TrainOptions, make_options
from train.tasks import get_task
from train.tasks.base import Fold, Split
from train.tasks.seq2seq import Seq2SeqTask
from train.tasks.seq2seq_plan import IGNORED, START_ID, DecodingLoss, PairBatch


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three words a line, and the digits they name."""
    return write_number_pairs(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def quick_pairs(digits: Path, tmp_path: Path) -> Callable[..., TrainOptions]:
    """Options of a run of a second or two."""

    def options(**given: Any) -> TrainOptions:
        data, out = given.pop("data", digits), given.pop("out", tmp_path / "run")
        return make_options("seq2seq", data, out, **{**QUICK_PAIRS, **given})

    return options


def _results(*texts: str) -> list[GeneratedText]:
    looked = Attention(np.ones((1, 1), np.float32), ("a",), ("b",))
    return [GeneratedText(text, "said", len(text) + 1, 0.0, "end", attention=looked) for text in texts]


def _split(*targets: str) -> Split:
    return Split("val", ["said"] * len(targets), list(targets), (), "")


def test_plan_describes_two_graphs(quick_pairs: Callable[..., TrainOptions]) -> None:
    plan = get_task("seq2seq").plan(quick_pairs(layers=2, max_source_tokens=5))
    main, step = plan.spec.graphs
    assert [str(info) for info in main.inputs] == ["int64 (1+, 1..5)"] * 2
    assert [info.name for info in main.outputs] == ["memory", "keys", "hidden", "cell"]
    assert [info.name for info in step.inputs] == [
        "token",
        "hidden",
        "cell",
        "memory",
        "keys",
        "attention_mask",
    ]
    assert str(step.inputs[1]) == "float32 (1+, 2, 16)"
    assert plan.spec.output.tokens == ("<end>", "<start>", "1", "2", "3", "4")
    assert plan.spec.output.max_tokens == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden": 15}, r"Option --hidden: got 15, expected an even number"),
        ({"teacher_forcing": 1.5}, r"Option --teacher-forcing: got 1\.5"),
        ({"beams": 0}, r"Option --beams: got 0"),
        ({"dropout": 1.0}, r"Option --dropout: got 1\.0"),
        ({"source_vocabulary": 2}, r"Option --source-vocabulary: got 2"),
        ({"max_target_tokens": 3}, r"Training pair 1: got 3 target tokens, expected at most 2"),
        ({"model": "compact_cnn"}, r"Option --model: got compact_cnn for texts"),
        ({"teacher": "x.safetensors"}, r"Option --teacher: got it with seq2seq"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_honoured(
    quick_pairs: Callable[..., TrainOptions], given: dict[str, Any], message: str
) -> None:
    with pytest.raises((UsageError, DataError), match=message):
        get_task("seq2seq").plan(quick_pairs(**given))


class _Recorder(nn.Module):
    """Answers with token 3, and notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return (ids.float(),) * 4

    def step(self, token: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        self.given.append(token[:, 0])
        logits = torch.zeros(len(token), 5)
        logits[:, 3] = 1.0
        return (logits, *state[:2], state[0])


def _batch() -> PairBatch:
    ids = torch.ones(2, 3, dtype=torch.int64)
    return PairBatch((ids, ids), torch.tensor([[4, 2, 0], [4, 0, IGNORED]]))


def test_right_tokens_are_given_at_first_and_own_ones_at_the_end() -> None:
    network, loss = _Recorder(), DecodingLoss((1.0, 0.0), batches=4, label_smoothing=0.0)
    found = loss(network, _batch())
    assert [token.tolist() for token in network.given] == [[START_ID] * 2, [4, 4], [2, 0]]
    assert float(found["accuracy"]) == 0.0
    loss.done.fill_(4)
    network.given.clear()
    loss(network, _batch())
    assert [token.tolist() for token in network.given] == [[START_ID] * 2, [3, 3], [3, 3]]


def test_share_of_right_tokens_falls_evenly_and_is_part_of_the_state() -> None:
    loss = DecodingLoss((1.0, 0.5), batches=10, label_smoothing=0.0)
    shares = []
    for _ in range(12):
        shares.append(loss.share)
        loss(_Recorder(), _batch())
    np.testing.assert_allclose(shares[:11], np.linspace(1.0, 0.5, 11))
    assert shares[11] == 0.5
    again = DecodingLoss((1.0, 0.5), batches=10, label_smoothing=0.0)
    again.load_state_dict(loss.state_dict())
    assert again.share == loss.share


def test_loss_leaves_out_what_is_behind_the_end() -> None:
    loss = DecodingLoss((1.0, 1.0), batches=1, label_smoothing=0.0)
    logits = torch.zeros(5)
    logits[3] = 1.0
    wanted = -torch.log_softmax(logits, 0)[[4, 2, 0, 4, 0]].mean()
    torch.testing.assert_close(loss(_Recorder(), _batch())["loss"], wanted)


def test_metrics_count_whole_texts_and_characters() -> None:
    exact, errors = Seq2SeqTask().measure(_results("a  b", "abcd", "x"), _split("a b", "abce", "xyz"))
    assert (exact.name, exact.value, exact.samples, exact.mode) == ("exact_match", 1 / 3, 3, "max")
    assert (errors.name, errors.mode) == ("character_error_rate", "min")
    assert errors.value == pytest.approx(3 / 10)
    assert Seq2SeqTask().measure(_results("a"), replace(_split("a"), targets=())) == ()


def test_agreement_is_the_share_of_equal_texts() -> None:
    assert Seq2SeqTask().agreement(_results("a", "b"), _results("a", "c")) == 0.5


def test_report_shows_the_worst_first() -> None:
    report = Seq2SeqTask().report(_results("ab", "xb", "zz"), _split("ab", "ab", "ab"))
    assert [row["written"] for row in report.figures["wrong"]] == ["zz", "xb"]
    assert report.rows[0] == ("said", "ab", "zz")
    assert report.pictures["attention.png"].startswith(b"\x89PNG")
    assert Seq2SeqTask().report(_results("ab"), _split("ab")).rows == ()


def test_folds_keep_all_sources_of_a_target_together(digits: Path) -> None:
    task = get_task("seq2seq")
    pool = task.load_split(digits, "train")
    held = [task.fold_rows(digits, pool, Fold(at, 3))[1] for at in (1, 2, 3)]
    assert sorted(np.concatenate(held).tolist()) == list(range(len(pool)))
    targets = [{pool.targets[row] for row in rows} for rows in held]
    assert not targets[0] & targets[1] and not targets[1] & targets[2] and not targets[0] & targets[2]


def test_run_learns_and_predicts_with_attention(quick_pairs: Callable[..., TrainOptions]) -> None:
    result = train(quick_pairs(epochs=24, lr=0.02, dropout=0.0))
    assert result.metrics[0].value == 1.0
    assert result.metrics[0].samples == 8
    with Predictor(result.checkpoint) as predictor:
        answer = predictor.predict("three one four")
        wide = predictor.generate(["three one four", "two"], beams=3)
        assert predictor.verify().holds
        for options, message in (
            ({"beams": 0}, "'beams': got 0"),
            ({"seed": 1}, "'seed': got it for a decoder"),
        ):
            with pytest.raises(UsageError, match=message):
                predictor.generate("two", **options)
    assert (answer.text, answer.finish_reason) == ("314", "end")
    # Behind each digit stands the word that the decoder has to look at.
    assert answer.attention.read == ("three", "one", "four")
    assert answer.attention.weights[:3].argmax(axis=1).tolist() == [0, 1, 2]
    assert wide[0].text == "314" and len(wide[0].alternatives) == 2
    assert wide[0].alternatives[0].score < wide[0].score


def test_resumed_run_is_the_unbroken_one(quick_pairs: Callable[..., TrainOptions], tmp_path: Path) -> None:
    told = {"scheduler": "none", "epochs": 2}
    whole = train(quick_pairs(out=tmp_path / "whole", **told))
    broken = quick_pairs(out=tmp_path / "broken", **told)

    class StopError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise StopError

    with pytest.raises(StopError):
        train(broken, say=stop, bar=False)
    resumed = train(replace(broken, resume=True))
    first, second = (load_file(run.checkpoint) for run in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_checkpoint_can_be_trained_on(quick_pairs: Callable[..., TrainOptions], tmp_path: Path) -> None:
    first = train(quick_pairs(out=tmp_path / "first", epochs=1))
    onward = make_options("seq2seq", quick_pairs().data, tmp_path / "on", start=first.checkpoint, epochs=1,
                          threads=1, device="cpu")  # fmt: skip
    again = read_artifact(train(onward).checkpoint)
    assert again.manifest.evidence.parent_sha256 == read_artifact(first.checkpoint).manifest.payload_sha256
    with pytest.raises(UsageError, match="--from and --hidden"):
        make_options("seq2seq", onward.data, onward.out, start=first.checkpoint, hidden=32)
    (tmp_path / "other.tsv").write_text("one\t9\ntwo\t8\none two\t98\n", encoding="utf-8")
    strange = replace(onward, data=tmp_path / "other.tsv", out=tmp_path / "strange")
    with pytest.raises(DataError, match="got target token '.', expected tokens that the checkpoint writes"):
        train(strange)


def test_chosen_columns_are_found_again(quick_pairs: Callable[..., TrainOptions], tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    rows = "".join(f"{at},{at:02d},{WORDS[at % 4]} {WORDS[at // 4]}\n" for at in range(16))
    table.write_text("id,code,said\n" + rows, encoding="utf-8")
    result = train(quick_pairs(data=table, source_column="said", target_column="code", epochs=1))
    facts = read_artifact(result.checkpoint).manifest.evidence.facts
    split = get_task("seq2seq").as_trained(facts).load_split(table, "val")
    assert all(target in {f"{at:02d}" for at in range(16)} for target in split.targets)
    assert json.loads((result.checkpoint.parent / "metrics.json").read_text())["split"] == "val"

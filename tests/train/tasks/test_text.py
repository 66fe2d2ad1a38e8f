"""Task ``text``: what is learned from tables of texts, and what its options do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import DataError, UsageError
from sdk import Predictor
from sdk.artifact import read_artifact
from sdk.results import Classification
from sdk.spec import Spec
from tests.texts import WORDS, word_tokenizer, write_reviews
from train.loop import train
from train.metrics import macro_f1
from train.options import TrainOptions, make_options
from train.sampling import Draw
from train.tasks import get_task, task_of
from train.tasks.base import Split
from train.tasks.text_plan import buckets_up_to


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-bert")
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=20,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(word_tokenizer(framed=True))
    return folder


def options(data: Path, out: Path, **given: Any) -> TrainOptions:
    usual: dict[str, Any] = {"threads": 1, "device": "cpu", "lr": 2e-2, "batch_size": 8, "word_dropout": 0.0}
    if not {"pretrained_from", "start", "qat"} & set(given):
        usual |= {"hidden": 12, "embedding": 12, "dropout": 0.0}
    return make_options("text", data, out, **{**usual, **given})


def spec_of(data: Path, **given: Any) -> Spec:
    spec: Spec = get_task("text").plan(options(data, Path("out"), **given)).spec
    return spec


def test_an_lstm_learns_to_tell_reviews_apart_and_goes_on_from_its_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    done = train(options(data, tmp_path / "run", epochs=8))
    accuracy, f1 = done.metrics
    assert (accuracy.name, f1.name) == ("accuracy", "macro-F1")
    assert accuracy.value > 0.9
    with Predictor(done.checkpoint) as predictor:
        good, bad = predictor.predict(["a great film", "a dull plot, very dull"])
        assert (good.label, bad.label) == ("positive", "negative")
        assert predictor.verify().holds
        # One by one there is no padding; the answer is the same to float32's last digits.
        assert predictor.predict("a great film").score == pytest.approx(good.score, abs=1e-6)
    more = train(options(data, tmp_path / "more", epochs=1, start=done.checkpoint, lr=1e-4))
    assert read_artifact(more.checkpoint).spec.input == read_artifact(done.checkpoint).spec.input
    assert more.metrics[0].value > 0.9


def test_a_pretrained_directory_gives_network_tokenizer_and_weights(data: Path, directory: Path) -> None:
    plan = get_task("text").plan(options(data, Path("out"), pretrained_from=directory))
    assert plan.spec.network.name == "bert"
    assert plan.spec.network.arguments["config"]["hidden_size"] == 16
    assert (plan.spec.input.max_tokens, plan.spec.input.buckets) == (20, ())
    assert plan.spec.input.load("good").arrays["input_ids"].tolist() == [2, 4, 3]
    losses = plan.loss(plan.network, plan.train_set.collate([plan.train_set[Draw(0, 0)]]))
    assert set(losses) == {"loss", "accuracy"}


def test_own_vocabulary_comes_from_the_training_part_alone(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "reviews")
    with (folder / "test.tsv").open("a") as file:
        file.write("positive\tunheard unheard unheard\n" * 3)
    text_input = spec_of(folder).input
    assert set(text_input.load("unheard").arrays["input_ids"].tolist()) == {1}
    assert 1 not in text_input.load("great film").arrays["input_ids"].tolist()


def test_the_spec_says_how_long_texts_are_cut(data: Path) -> None:
    text_input = spec_of(data, max_tokens=24, truncate="left").input
    assert (text_input.max_tokens, text_input.truncation_side) == (24, "left")
    assert text_input.buckets == (16, 24)
    assert spec_of(data).input.buckets == (16, 32, 64)


@pytest.mark.parametrize(("longest", "buckets"), [(8, (8,)), (16, (16,)), (100, (16, 32, 64, 100))])
def test_buckets_double_up_to_the_longest(longest: int, buckets: tuple[int, ...]) -> None:
    assert buckets_up_to(longest) == buckets


def test_a_tokenizer_of_ones_own_is_taken(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(word_tokenizer())
    spec = spec_of(data, tokenizer=tmp_path / "tokenizer.json")
    assert spec.network.arguments["vocabulary"] == len(WORDS)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"Tokenizer 'tokenizer\.json': got"):
        spec_of(data, tokenizer=tmp_path / "tokenizer.json")


def test_columns_and_class_names_are_remembered_for_the_export(tmp_path: Path) -> None:
    folder = write_reviews(tmp_path / "reviews", train=40, test=10)
    for name in ("train", "test"):
        path = folder / f"{name}.tsv"
        text = path.read_text().partition("\n")[2].replace("positive", "1").replace("negative", "0")
        path.write_text(text)
    given = {"text_column": "2", "label_column": "1", "class_names": ("bad", "good")}
    done = train(options(folder, tmp_path / "run", epochs=1, **given))
    checkpoint = read_artifact(done.checkpoint)
    assert checkpoint.spec.output.labels == ("bad", "good")  # type: ignore[attr-defined]
    split = task_of(checkpoint).load_split(folder, "test", checkpoint.spec)
    assert (len(split), split.labels) == (10, ("bad", "good"))
    # A run that goes on from the checkpoint finds the columns there as well.
    plan = get_task("text").plan(options(folder, tmp_path / "more", start=done.checkpoint))
    assert plan.splits.train.labels == ("bad", "good")


def test_layers_learn_slower_the_deeper_they_are_and_decay_can_act_on_all(
    data: Path, directory: Path
) -> None:
    task = get_task("text")
    own = {"pretrained_from": directory, "layer_decay": 0.5, "decay_all": True}
    groups = task.plan(options(data, Path("out"), **own)).groups
    assert [group.lr_scale for group in groups] == [0.125, 0.25, 0.5, 1.0]
    assert all(group.decay_all for group in groups)
    from train.optimizers import make_optimizer

    def decays(decay_all: bool) -> set[float]:
        told = options(data, Path("out"), **{**own, "decay_all": decay_all})
        groups = task.plan(told).groups
        return {group["weight_decay"] for group in make_optimizer(told, groups).param_groups}

    assert decays(True) == {0.01}
    assert decays(False) == {0.0, 0.01}


def test_frozen_layers_do_not_train(data: Path, directory: Path) -> None:
    plan = get_task("text").plan(options(data, Path("out"), pretrained_from=directory, freeze="head-only"))
    trained = [name for name, weight in plan.network.named_parameters() if weight.requires_grad]
    assert trained == ["classifier.weight", "classifier.bias"]


def test_rare_classes_are_drawn_as_often_where_asked(data: Path) -> None:
    plan = get_task("text").plan(options(data, Path("out"), weighted_sampling=True))
    assert plan.weights is not None
    targets = np.asarray(plan.splits.train.targets)
    assert plan.weights[targets == 0].sum() == pytest.approx(plan.weights[targets == 1].sum())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "bert"}, "bert without a directory.*--pretrained-from DIR"),
        ({"hidden": 4, "pretrained_from": Path("d")}, "--hidden: got it for bert"),
        ({"pooling": "first"}, "--pooling: got it for text_lstm"),
        ({"freeze": "head-only"}, "head-only with fresh weights"),
        ({"layer_decay": 0.5, "freeze": "discriminative"}, "--layer-decay and --freeze"),
        ({"layer_decay": 0.0}, "--layer-decay: got 0.0"),
        ({"max_tokens": 2}, "--max-tokens: got 2, expected at least 4"),
        ({"word_dropout": 1.0}, "--word-dropout: got 1.0"),
        ({"loss": "focal", "label_smoothing": 0.1}, "--label-smoothing"),
        ({"tokenizer": Path("t"), "cased": True}, "--tokenizer and --cased"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_contradict_each_other_are_refused(
    data: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_options("text", data, "out", **given)


def test_more_tokens_than_the_network_has_positions_are_refused(data: Path, directory: Path) -> None:
    with pytest.raises(UsageError, match="--max-tokens: got 21, expected at most 20"):
        get_task("text").plan(options(data, Path("out"), pretrained_from=directory, max_tokens=21))


def test_classes_of_other_data_are_refused(data: Path, tmp_path: Path) -> None:
    other = write_reviews(tmp_path / "other")
    (other / "train.tsv").write_text((other / "train.tsv").read_text().replace("positive", "glad"))
    (other / "test.tsv").unlink()
    with pytest.raises(DataError, match="class 'glad' in the data alone"):
        get_task("text").load_split(other, "train", spec_of(data))


def test_macro_f1_counts_every_class_alike() -> None:
    targets, predicted = np.array([0] * 8 + [1] * 2), np.array([0] * 8 + [0, 1])
    value, low, high = macro_f1(predicted, targets, 2)
    assert value == pytest.approx((16 / 17 + 2 / 3) / 2)
    assert low < value < high
    assert macro_f1(predicted, targets, 2) == (value, low, high)


def test_the_report_has_a_row_per_class() -> None:
    results = [Classification("b", 0.9, index, (), np.zeros(2), None) for index in (0, 1, 1, 1)]
    report = get_task("text").report(results, Split("test", [""] * 4, [0, 0, 1, 1], ("a", "b"), ""))
    assert [row[0] for row in report.rows] == ["a", "b"]
    assert json.loads(json.dumps(report.figures))["confusion_matrix"] == [[1, 1], [0, 2]]
    assert set(report.pictures) == {"confusion_matrix.png"}


def test_rounding_while_training_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    done = train(options(data, tmp_path / "run", epochs=1))
    told = options(data, tmp_path / "rounded", qat=done.checkpoint, start=None)
    with pytest.raises(UsageError, match=r"--qat: got a network of 1 graph that takes int64.*int8-dynamic"):
        train(told)

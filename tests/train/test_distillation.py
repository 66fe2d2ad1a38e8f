"""Starting from a checkpoint, learning from a teacher, keeping zeros."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn

from runtimes import ArtifactError, DataError, UsageError
from runtimes.torch_runtime import load_network
from sdk.artifact import read_artifact, write_artifact
from sdk.command import main
from tests.train.small_data import CLASSES, COLOURS, write_pictures
from train.distillation import (
    DistilledLoss,
    attention_loss,
    cosine_distance,
    soft_target_loss,
    watched,
)
from train.keep_zeros import KeepZeros
from train.loop import TrainResult, train
from train.options import TrainOptions, make_options

Options = Callable[..., TrainOptions]


@pytest.fixture(scope="module")
def start(colour_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tells three colours apart. Read only."""
    out = tmp_path_factory.mktemp("start") / "run"
    return train(
        make_options("product", colour_folder, out, epochs=3, batch_size=8, lr=1e-2, image_size=16, threads=1,
                     device="cpu")
    ).checkpoint  # fmt: skip


@pytest.fixture
def again(colour_folder: Path, tmp_path: Path, start: Path) -> Options:
    """Options of a run from `start`."""

    def options(**given: Any) -> TrainOptions:
        base = {"epochs": 1, "batch_size": 8, "threads": 1, "device": "cpu", "start": start}
        return make_options("product", given.pop("data", colour_folder), given.pop("out", tmp_path / "run"),
                            **{**base, **given})  # fmt: skip

    return options


def test_soft_target_loss_is_the_value_worked_out_by_hand() -> None:
    # Two classes, T = 2: softmax(0, 2 ln 3 / 2) = (1/4, 3/4) for the teacher, (1/2, 1/2) for the student.
    teacher = torch.tensor([[0.0, 2 * math.log(3)]])
    student = torch.zeros(1, 2)
    expected = 4 * (0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    assert soft_target_loss(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_cosine_distance_is_the_value_worked_out_by_hand() -> None:
    student, teacher = torch.tensor([[3.0, 4.0], [0.0, -2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # 1 - 0.6 and 1 + 1, whatever the lengths.
    assert cosine_distance(student, teacher).item() == pytest.approx((0.4 + 2.0) / 2)


def test_soft_target_loss_of_equal_answers_is_nothing() -> None:
    logits = torch.randn(5, 7)
    assert soft_target_loss(logits, logits + 3.0, 4.0).item() == pytest.approx(0.0, abs=1e-5)


def test_attention_loss_is_the_value_worked_out_by_hand() -> None:
    # Maps of mean squares (3, 4) and (1, 0), of unit length (0.6, 0.8) and (1, 0): 0.16 + 0.64.
    student = torch.tensor([[[[3.0, 4.0]]]]).sqrt()
    teacher = torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]]])
    maps = {(1, 2): student}, {(1, 2): teacher, (4, 4): torch.ones(1, 2, 4, 4)}
    assert attention_loss(*maps).item() == pytest.approx(0.8, rel=1e-6)


def test_attention_loss_without_a_common_size_is_refused() -> None:
    with pytest.raises(UsageError, match="--feature-weight"):
        attention_loss({(2, 2): torch.ones(1, 1, 2, 2)}, {(4, 4): torch.ones(1, 1, 4, 4)})


def _task_loss(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    images, targets = batch
    return {"loss": nn.functional.cross_entropy(network(images), targets)}


def _small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def test_distilled_loss_adds_its_parts_and_trains_the_student_alone() -> None:
    student, teacher = _small(), _small()
    batch = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    statistics = teacher[1].running_mean.clone()
    loss = DistilledLoss(
        _task_loss, teacher, soft=partial(soft_target_loss, temperature=4.0), weight=0.7, feature_weight=0.5
    )
    losses = loss(student, batch)
    losses["loss"].backward()
    told = 0.3 * losses["task_loss"] + 0.7 * losses["soft_loss"] + 0.5 * losses["feature_loss"]
    assert losses["loss"].item() == pytest.approx(told.item(), rel=1e-6)
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert torch.equal(teacher[1].running_mean, statistics)
    assert not teacher.training


def test_watching_leaves_nothing_behind() -> None:
    network = _small()
    with watched(network, True) as seen:
        network(torch.randn(2, 1, 8, 8))
    assert list(seen.maps) == [(6, 6)]
    assert not any(module._forward_hooks for module in network.modules())


def test_run_from_a_checkpoint_takes_its_contract_and_names_it(again: Options, start: Path) -> None:
    result = train(again())
    parent, child = read_artifact(start), read_artifact(result.checkpoint)
    assert child.spec == parent.spec
    assert child.manifest.evidence.parent_sha256 == parent.manifest.payload_sha256
    assert child.manifest.evidence.facts["model"] == "compact_cnn"
    assert result.metrics[0].value == 1.0  # one gentle epoch does not forget what three taught


def test_run_from_a_checkpoint_starts_at_its_weights(again: Options, start: Path) -> None:
    result = train(again(lr=1e-12, weight_decay=0.0))
    before, after = load_file(start), load_file(result.checkpoint)
    moved = [n for n in before if "running" not in n and "batches" not in n]
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in moved)


def test_pruning_facts_pass_on_and_sparsity_only_with_its_zeros(
    again: Options, start: Path, tmp_path: Path
) -> None:
    parent = read_artifact(start)
    facts = {**parent.manifest.evidence.facts, "pruning": {"ratio": 0.5}, "sparsity": {"zeros": 0.5}}
    told = replace(parent.manifest, evidence=replace(parent.manifest.evidence, facts=facts))
    path = write_artifact(tmp_path / "told.safetensors", parent.payload, told).path
    child = read_artifact(train(again(start=path)).checkpoint).manifest.evidence.facts
    assert child["pruning"] == {"ratio": 0.5}
    assert "sparsity" not in child


def test_run_learns_from_a_teacher_and_says_so(again: Options, start: Path) -> None:
    result = train(again(teacher=start, distill_temperature=2.0, feature_weight=0.1, freeze="head-only"))
    facts = read_artifact(result.checkpoint).manifest.evidence.facts
    assert facts["distillation"] == {
        "teacher_sha256": read_artifact(start).manifest.payload_sha256,
        "temperature": 2.0,
        "weight": 0.7,
        "feature_weight": 0.1,
    }
    assert {"train_task_loss", "train_soft_loss", "train_feature_loss"} <= set(result.history[0])


def test_student_of_another_kind_learns_from_a_teacher(quick: Options, start: Path) -> None:
    # A fresh network is fed as the teacher is only if its statistics are the same: here they are.
    result: TrainResult = train(quick(teacher=start, distill_weight=1.0))
    assert result.history[0]["train_loss"] == pytest.approx(result.history[0]["train_soft_loss"], rel=1e-5)


def _sparse(start: Path, path: Path) -> Path:
    artifact = read_artifact(start)
    network = load_network(artifact.program())
    with torch.no_grad():
        network.get_submodule("features.stage1.0.first.0").weight[::2] = 0.0
        network.classifier.weight[:, :5] = 0.0
    return write_artifact(path, save(network.state_dict()), artifact.manifest).path


def test_keep_zeros_keeps_zeros(again: Options, start: Path, tmp_path: Path) -> None:
    sparse = _sparse(start, tmp_path / "sparse.safetensors")
    before = load_file(sparse)
    kept = load_file(train(again(start=sparse, keep_zeros=True, lr=1e-2, out=tmp_path / "kept")).checkpoint)
    filled = load_file(train(again(start=sparse, lr=1e-2, out=tmp_path / "filled")).checkpoint)
    for name in ("features.stage1.0.first.0.weight", "classifier.weight"):
        zero = before[name] == 0
        assert (kept[name][zero] == 0).all()
        assert (kept[name][~zero] != before[name][~zero]).any()
        assert (filled[name][zero] != 0).any()


def test_keep_zeros_without_a_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="--keep-zeros: got a start without a zero"):
        KeepZeros(nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "resnet18"}, "--from and --model: got both"),
        ({"weights": Path("x.safetensors")}, "--from and --weights: got both"),
        ({"pretrained": True}, "--from and --pretrained: got both"),
        ({"image_size": 32}, "--from and --image-size: got both"),
        ({"resize": "stretch"}, "--from and --resize: got both"),
        ({"jpeg_scaling": "full"}, "--from and --jpeg-scaling: got both"),
        ({"start": None, "keep_zeros": True}, "--keep-zeros: got it alone"),
        ({"distill_weight": 0.5}, "--distill-weight: got it alone"),
        ({"feature_weight": 0.0}, "--feature-weight: got it alone"),
    ],
    ids=str,
)
def test_options_that_contradict_the_start_are_refused(
    again: Options, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        again(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"distill_temperature": 0.0}, "--distill-temperature"),
        ({"distill_weight": 1.1}, "--distill-weight"),
        ({"feature_weight": -1.0}, "--feature-weight"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(
    again: Options, start: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        again(teacher=start, **given)


def test_start_that_is_no_checkpoint_is_refused(again: Options, tmp_path: Path, light_artifact: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere\.safetensors"):
        again(start=tmp_path / "nowhere.safetensors")
    with pytest.raises(UsageError, match=r"--from 'light\.onnx': got a \.onnx artifact"):
        again(start=light_artifact)


def test_data_with_other_classes_is_refused(again: Options, colour_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(colour_folder, tmp_path / "data"))
    write_pictures(data / "yellow", COLOURS["red"], 20, seed=9)
    with pytest.raises(DataError, match="class 'yellow' in the data alone"):
        train(again(data=data))


def test_teacher_that_is_fed_otherwise_is_refused(quick: Options, start: Path) -> None:
    with pytest.raises(UsageError, match="got other preprocessing than the student's"):
        train(quick(teacher=start, image_size=24))


def test_resuming_from_another_start_is_refused(again: Options, start: Path, tmp_path: Path) -> None:
    train(again())
    other = Path(shutil.copy(start, tmp_path / "other.safetensors"))
    with pytest.raises(UsageError, match=r"--resume with --from: got '.*other"):
        train(again(start=other, resume=True))


def test_resumed_distillation_equals_an_unbroken_one(again: Options, start: Path, tmp_path: Path) -> None:
    given = {"teacher": start, "scheduler": "none"}
    whole = train(again(epochs=2, out=tmp_path / "whole", **given))
    train(again(epochs=1, out=tmp_path / "parts", **given))
    resumed = train(again(epochs=2, out=tmp_path / "parts", resume=True, **given))
    left, right = load_file(whole.checkpoint), load_file(resumed.checkpoint)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_command_line_starts_from_a_checkpoint(
    start: Path, colour_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "product", "--data", str(colour_folder), "--out", str(tmp_path / "run"),
             "--epochs", "1", "--batch-size", "8", "--threads", "1",
             "--from", str(start), "--teacher", str(start)]  # fmt: skip
    assert main(words) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())["options"]
    assert (record["start"], record["teacher"]) == (str(start), str(start))
    assert len(CLASSES) == len(read_artifact(tmp_path / "run" / "product.safetensors").spec.output.labels)
    capsys.readouterr()
    assert main([*words, "--overwrite", "--model", "resnet18"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

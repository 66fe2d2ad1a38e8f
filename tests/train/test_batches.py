"""Validation goes through the spec, and through nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from runtimes import InputError
from sdk.inputs.image import IMAGE
from sdk.spec import Spec
from train.batches import outputs_of_items, predict_split, require_loaded, spec_loader
from train.module import TaskModule
from train.options import TrainOptions
from train.tasks import get_task
from train.tasks.base import Split


class _Recorder(nn.Module):
    """Keeps what it is fed; answers with the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.fed: list[torch.Tensor] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.fed.append(image.detach().clone())
        return image.mean(dim=(2, 3)) * self.weight


@pytest.fixture
def spec(quick: Callable[..., TrainOptions]) -> Spec:
    """Of a run on coloured pictures, with a preprocessing that no other code would hit on by chance."""
    spec = get_task("product").plan(quick()).spec
    odd = replace(spec.input, channels="bgr", resize="letterbox", shortest_px=None, pad_colour=(9, 99, 199),
                  size_wh=(24, 20), mean=(0.1, 0.2, 0.3), std=(0.9, 0.8, 0.7))  # fmt: skip
    graph = replace(spec.graph(), inputs=(replace(spec.graph().inputs[0], shape=(spec.batch, 3, 20, 24)),))
    return replace(spec, input=odd, graphs=(graph,))


def _expected(spec: Spec, split: Split) -> np.ndarray[Any, Any]:
    return spec.input.batch([spec.input.load(item) for item in split.items], spec.baked)[IMAGE]


def test_predict_split_feeds_what_the_spec_prepares(spec: Spec, colour_folder: Path) -> None:
    split, network = get_task("product").load_split(colour_folder, "val"), _Recorder()
    results = predict_split(network, spec, split, batch_size=4, num_workers=0)
    assert np.array_equal(torch.cat(network.fed).numpy(), _expected(spec, split))
    wanted = spec.output.read(
        spec.output.activate({"scores": _expected(spec, split).mean(axis=(2, 3))}, ()), results
    )
    # Two ways to take a mean of 480 float32 numbers.
    np.testing.assert_allclose([r.scores for r in results], [r.scores for r in wanted], atol=1e-6)


def test_validation_step_feeds_what_the_spec_prepares(
    spec: Spec, quick: Callable[..., TrainOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = get_task("product")
    plan = replace(task.plan(quick()), spec=spec, network=_Recorder(), validation_loss=None)
    module = TaskModule(task, plan, quick(), num_workers=0).eval()
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: float(value)}))
    with torch.inference_mode():
        for at, batch in enumerate(module.val_dataloader()):
            module.validation_step(batch, at)
    module.on_validation_epoch_end()
    assert np.array_equal(torch.cat(plan.network.fed).numpy(), _expected(spec, plan.splits.val))
    results = predict_split(plan.network, spec, plan.splits.val, 8, 0)
    assert logged == {"val_accuracy": task.measure(results, plan.splits.val)[0].value}


def test_validation_answers_are_those_the_output_reads(spec: Spec, colour_folder: Path) -> None:
    """The network's strongest channel is the colour's own, so the labels must come out right or all wrong."""
    split = get_task("product").load_split(colour_folder, "val")
    swapped = replace(spec, output=replace(spec.output, labels=("red", "green", "blue")))
    labels = [spec.output.labels[target] for target in split.targets]
    plain = replace(spec, input=replace(spec.input, mean=(0.0,) * 3, std=(1.0,) * 3))
    straight = [result.label for result in predict_split(_Recorder(), plain, split, 8, 0)]
    reversed_ = predict_split(_Recorder(), replace(plain, output=swapped.output), split, 8, 0)
    assert straight == labels
    assert [result.index for result in reversed_] == split.targets.tolist()
    assert [result.label for result in reversed_] != labels


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_item_raises_as_itself(spec: Spec, tmp_path: Path, num_workers: int) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    split = Split("val", [tmp_path / "bad.png"], [0], ("a", "b"), "")
    (batch,) = spec_loader(spec, split, 1, num_workers)
    with pytest.raises(InputError, match=r"'bad\.png'"):
        require_loaded(batch)


def test_outputs_of_items_are_activated(spec: Spec, colour_folder: Path) -> None:
    split = get_task("product").load_split(colour_folder, "val")
    scores = outputs_of_items(_Recorder(), spec, list(split.items[:3]))["scores"]
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)


def test_predict_split_leaves_batch_statistics_alone(spec: Spec, colour_folder: Path) -> None:
    split = get_task("product").load_split(colour_folder, "val")
    network = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    before = network[0].running_mean.clone()
    predict_split(network, spec, split, 4, 0)
    assert torch.equal(network[0].running_mean, before)

"""Options: defaults, ranges, combinations, and what a resumed run may change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtimes import UsageError
from train.options import first_difference, make_options


def _make(**given: Any) -> Any:
    return make_options("product", **{"data": "data", "out": "out", **given})


def test_options_are_filled_in_by_the_task() -> None:
    options = _make()
    assert (options.model, options.scheduler, options.optimizer) == ("compact_cnn", "one-cycle", "adamw")
    assert options.data.is_absolute()
    assert options.task_options.loss == "cross-entropy"


def test_pretrained_networks_are_moved_more_gently() -> None:
    assert _make(model="resnet18", pretrained=True).lr < _make(model="resnet18").lr < _make().lr


def test_given_values_win() -> None:
    options = _make(lr=0.5, loss="focal", epochs=3)
    assert (options.lr, options.task_options.loss, options.epochs) == (0.5, "focal", 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "--epochs: got 0, expected at least 1"),
        ({"batch_size": 0}, "--batch-size"),
        ({"lr": 0.0}, "--lr: got 0.0"),
        ({"lr": float("nan")}, "--lr: got nan"),
        ({"weight_decay": -1.0}, "--weight-decay"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "--momentum"),
        ({"warmup": 1.0}, "--warmup"),
        ({"lr_gamma": 0.0}, "--lr-gamma"),
        ({"accumulate": 0}, "--accumulate"),
        ({"clip_norm": -1.0}, "--clip-norm"),
        ({"early_stopping": 0}, "--early-stopping"),
        ({"seed": -1}, "--seed"),
        ({"threads": 0}, "--threads"),
        ({"num_workers": -1}, "--num-workers"),
        ({"optimizer": "lion"}, "--optimizer: got 'lion', expected one of adamw"),
        ({"label_smoothing": 1.0}, "--label-smoothing"),
        ({"image_size": 4}, "--image-size"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "--clip-norm and --clip-value: got both"),
        ({"resume": True, "overwrite": True}, "--resume and --overwrite: got both"),
        ({"momentum": 0.5}, "--momentum: got it with adamw"),
        ({"loss": "focal", "label_smoothing": 0.1}, "--label-smoothing: got it with focal"),
        ({"pretrained": True}, "--pretrained: got it for compact_cnn"),
        ({"model": "resnet18", "pretrained": True, "weights": Path("w")}, "--pretrained and --weights"),
        ({"freeze": "head-only"}, "--freeze: got head-only with fresh weights"),
        ({"augment": ("none", "flip")}, "--augment: got none with others"),
    ],
    ids=str,
)
def test_senseless_options_are_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _make(**given)
    assert "\n" not in str(caught.value)


def test_unknown_task_is_refused() -> None:
    with pytest.raises(UsageError, match="Task: got 'poetry', expected one of product"):
        make_options("poetry", "data")


def test_unknown_option_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no option 'leraning_rate'"):
        _make(leraning_rate=1)


def test_to_json_is_json() -> None:
    options = _make(augment=("flip",), model="resnet18", weights=Path("w.safetensors"))
    tree = json.loads(json.dumps(options.to_json()))
    assert tree["task_options"]["augment"] == ["flip"]
    assert tree["task_options"]["weights"] == "w.safetensors"
    assert first_difference(options, tree) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"threads": 1},
        {"data": "elsewhere"},
        {"num_workers": 2},
        {"device": "cpu"},
        {"resume": True},
        {"overwrite": True},
    ],
    ids=str,
)
def test_machine_options_may_change_on_resuming(changed: dict[str, Any]) -> None:
    assert first_difference(_make(**changed), _make().to_json()) is None


@pytest.mark.parametrize(
    ("changed", "name"),
    [({"lr": 0.5}, "lr"), ({"seed": 1}, "seed"), ({"loss": "focal"}, "loss"), ({"epochs": 99}, "epochs")],
    ids=str,
)
def test_other_options_may_not_change_on_resuming(changed: dict[str, Any], name: str) -> None:
    assert first_difference(_make(**changed), _make().to_json())[0] == name


@pytest.mark.parametrize(("epochs", "differs"), [(9, False), (2, True)], ids=["more", "fewer"])
def test_epochs_may_be_added_where_the_schedule_allows(epochs: int, differs: bool) -> None:
    recorded = _make(scheduler="step", epochs=5).to_json()
    assert (first_difference(_make(scheduler="step", epochs=epochs), recorded) is not None) == differs

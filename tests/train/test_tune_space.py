"""What a search tries, from the words of a command line and back to them."""

from __future__ import annotations

from typing import Any

import pytest

from runtimes import UsageError
from train.options import TrainOptions, make_options
from train.tasks import TASKS, get_task
from train.tune_space import Knob, Space, actions_of, make_space, parse_knob

PRODUCT = get_task("product")
ACTIONS = actions_of(PRODUCT)


def _options(**given: Any) -> TrainOptions:
    return make_options("product", "data", **given)


def _space(*texts: str, **given: Any) -> Space:
    return make_space(PRODUCT, texts, given, _options(**given))


@pytest.mark.parametrize(
    ("text", "knob"),
    [
        ("lr=log:1e-4..1e-2", Knob("lr", (), 1e-4, 1e-2, log=True)),
        ("--weight-decay=0..0.3", Knob("weight_decay", (), 0.0, 0.3)),
        ("accumulate=1..4", Knob("accumulate", (), 1, 4, whole=True)),
        ("batch_size=log:8..512", Knob("batch_size", (), 8, 512, log=True, whole=True)),
        ("image_size=32..96/32", Knob("image_size", (), 32, 96, whole=True, step=32)),
        ("batch_size=16,32,64", Knob("batch_size", ("16", "32", "64"))),
        ("ema=none,0.99", Knob("ema", ("none", "0.99"))),
        ("augment=none,flip,flip+shift", Knob("augment", ("none", "flip", "flip+shift"))),
        ("weighted_sampling=true,false", Knob("weighted_sampling", ("true", "false"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_knob_is_what_people_write(text: str, knob: Knob) -> None:
    assert parse_knob(text, ACTIONS) == knob
    assert parse_knob(knob.text, ACTIONS) == knob


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr", "a name of accumulate, augment"),
        ("rate=1..2", "a name of accumulate"),
        ("threads=1..2", "a name of accumulate"),
        ("lr=1e-2..1e-4", "the lower end first"),
        ("lr=log:0..1", "numbers above 0 on a logarithmic scale"),
        ("lr=a..b", "a range of numbers"),
        ("accumulate=1..2.5", "whole numbers"),
        ("lr=0.1..0.4/2", "a step of whole numbers"),
        ("optimizer=adamw..sgd", "a range of numbers"),
        ("optimizer=adamw,lion", "values of adamw, sgd, adam, rmsprop that the option takes, not 'lion'"),
        ("batch_size=16", "at least two different values"),
        ("batch_size=16,16", "at least two different values"),
        ("batch_size=16,many", "that the option takes, not 'many'"),
        ("weighted_sampling=yes,no", "that the option takes, not 'yes'"),
    ],
)
def test_knob_that_makes_no_sense_is_one_line(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_knob(text, ACTIONS)
    assert expected in str(error.value) and repr(text) in str(error.value)
    assert "\n" not in str(error.value)


def test_values_become_options_and_words() -> None:
    space = _space("lr=log:1e-4..1e-2", "ema=none,0.99", "augment=flip,flip+shift", "batch_size=16,32",
                   "weighted_sampling=true,false", "warmup=0.1..0.3")  # fmt: skip
    values = {"lr": 0.00123456789, "ema": "none", "augment": "flip+shift", "batch_size": "32",
              "weighted_sampling": "true", "warmup": 0.2}  # fmt: skip
    assert space.options(values) == {
        "lr": 0.00123456789, "ema": None, "augment": ("flip", "shift"), "batch_size": 32,
        "weighted_sampling": True, "warmup": 0.2,
    }  # fmt: skip
    assert " ".join(space.flags(values)) == (
        "--lr 0.00123457 --augment flip shift --batch-size 32 --weighted-sampling --warmup 0.2"
    )
    assert _options(**space.options(values)).batch_size == 32


def test_first_values_are_the_plain_options_where_the_space_has_them() -> None:
    space = _space("lr=log:1e-4..1e-2", "batch_size=16,128", "ema=none,0.9")
    assert space.first_values(_options()) == {"lr": 5e-3, "batch_size": "128", "ema": "none"}
    assert _space("lr=log:1e-4..1e-3").first_values(_options()) is None


def test_option_that_is_given_is_not_searched() -> None:
    assert "lr" not in [knob.name for knob in _space(lr=1e-3).knobs]
    with pytest.raises(UsageError, match=r"--lr given as well, expected a value or a range, once"):
        _space("lr=1e-4..1e-2", lr=1e-3)
    with pytest.raises(UsageError, match="got it twice"):
        _space("lr=1e-4..1e-2", "lr=1e-4..1e-3")
    with pytest.raises(UsageError, match="got nothing: all that is searched is given"):
        _space(lr=1e-3, weight_decay=0.1, batch_size=8, label_smoothing=0.1)


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_has_a_space_of_its_own_options(name: str) -> None:
    task = get_task(name)
    own = task.options_type()
    defaults = task.defaults({}, own)

    class _Plain:
        task_options = own

        def __getattr__(self, field: str) -> Any:
            return defaults[field]

    texts = task.search_space(_Plain())  # type: ignore[arg-type]
    knobs = [parse_knob(f"{field}={text}", actions_of(task)) for field, text in texts.items()]
    assert "lr" in {knob.name for knob in knobs} and len(knobs) >= 2
    for knob in knobs:
        assert parse_knob(knob.text, actions_of(task)) == knob

"""What a search over training options tries: names and ranges, as people write them.

``lr=log:1e-4..1e-2`` is a range on a logarithmic scale, ``warmup=0.1..0.4`` an even one, ``accumulate=1..4``
one of whole numbers (``image_size=64..256/32`` in steps), and ``batch_size=16,32,64`` a choice. A choice may
say ``none`` for an option that is left out, ``true`` and ``false`` for a switch, and ``flip+shift`` for
several words of one option.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from train.arguments import add_general_arguments
from train.tasks.base import Task

if TYPE_CHECKING:
    import optuna

    from train.options import TrainOptions

_RANGE = re.compile(r"(log:)?([^.:/]\S*?)\.\.([^./]\S*?)(?:/(\S+))?")
_WHOLE = re.compile(r"-?\d+")
_NOT_SEARCHED = ("help", "list_models", "data", "out", "resume", "overwrite", "folds", "device", "devices",
                 "threads", "num_workers")  # fmt: skip
_NONE = "none"
_GRAMMAR = "such as lr=log:1e-4..1e-2, warmup=0.1..0.4, accumulate=1..4 or batch_size=16,32"


@dataclass(frozen=True)
class Knob:
    """One option that is searched.

    Attributes:
        name: The option's field, such as ``batch_size``.
        choices: As written; empty for a range.
        low: Lowest value of a range.
        high: Highest value.
        log: Whether it is searched on a logarithmic scale.
        whole: Whether it is of whole numbers.
        step: Of whole numbers.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    step: int = 1

    @property
    def text(self) -> str:
        """As people write it."""
        if self.choices:
            return f"{self.name}={','.join(self.choices)}"
        log, step = "log:" if self.log else "", f"/{self.step}" if self.step > 1 else ""
        return f"{self.name}={log}{self.low:g}..{self.high:g}{step}"

    def suggested(self, trial: optuna.Trial) -> Any:
        """What a trial of Optuna's shall try."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=self.step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same for Optuna's samplers."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), step=self.step, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def of_value(self, value: Any) -> Any:
        """An option's value as a trial's; None where the knob does not have it."""
        if self.choices:
            text = _text_of(value)
            numbers = isinstance(value, (int, float)) and not isinstance(value, bool)
            return next((c for c in self.choices if c == text or (numbers and _number(c) == value)), None)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        on_step = not self.whole or (value - self.low) % self.step == 0
        return value if self.low <= value <= self.high and on_step else None


class Space:
    """The knobs of one search, and how their values become options.

    Args:
        task: Whose options they are.
        knobs: What is searched.
    """

    def __init__(self, task: Task, knobs: Sequence[Knob]) -> None:
        self.knobs = tuple(knobs)
        self._actions = actions_of(task)

    @property
    def text(self) -> list[str]:
        """Every knob as people write it, in a fixed order."""
        return sorted(knob.text for knob in self.knobs)

    def options(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of `train.options.make_options` for a trial's values; None for what is left out."""
        return {name: option_value(self._actions[name], value) for name, value in values.items()}

    def first_values(self, options: TrainOptions) -> dict[str, Any] | None:
        """The trial that tries `options` themselves; None where they lie outside."""
        found = {}
        for knob in self.knobs:
            value = knob.of_value(field_of(options, knob.name))
            if value is None:
                return None
            found[knob.name] = value
        return found

    def flags(self, values: Mapping[str, Any]) -> list[str]:
        """A trial's values as words of a command line."""
        return words_of(self._actions, self.options(values))

    def line(self, values: Mapping[str, Any]) -> str:
        """A trial's values for people, such as ``lr 0.0012, batch-size 32``."""
        return ", ".join(
            f"{name.replace('_', '-')} {value:.4g}" if isinstance(value, float) else
            f"{name.replace('_', '-')} {value}" for name, value in values.items()
        )  # fmt: skip


def make_space(task: Task, texts: Iterable[str], given: Mapping[str, Any], options: TrainOptions) -> Space:
    """The space of a search.

    Args:
        task: Whose options are searched.
        texts: As people write them, each of one knob; none is the task's own choice.
        given: Options that are given, and so not searched, None for those that are not.
        options: What would be trained with without a search.

    Raises:
        UsageError: A text makes no sense, or names an option that is given or cannot be searched.
    """
    actions = actions_of(task)
    chosen = list(texts)
    fixed = {name for name, value in given.items() if value is not None}
    if not chosen:
        own = task.search_space(options)
        chosen = [f"{name}={text}" for name, text in own.items() if name not in fixed]
        if not chosen:
            raise UsageError("Search space", got="nothing: all that is searched is given",
                             expected="an option to search",
                             fix="Give fewer options, or name some with --space.")  # fmt: skip
    knobs = [parse_knob(text, actions) for text in chosen]
    for at, knob in enumerate(knobs):
        if knob.name in fixed or knob.name in {other.name for other in knobs[:at]}:
            flag = f"--{knob.name.replace('_', '-')}"
            raise UsageError(
                f"Option --space {knob.text}",
                got=f"{flag} given as well" if knob.name in fixed else "it twice",
                expected="a value or a range, once",
                fix="Leave one out.",
            )
    return Space(task, knobs)


def parse_knob(text: str, actions: Mapping[str, argparse.Action]) -> Knob:
    """One knob from its text.

    Raises:
        UsageError: It makes no sense, or cannot be searched.
    """
    name, _, values = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    action = actions.get(name)
    if action is None or not values:
        searched = ", ".join(sorted(actions))
        raise _wrong(text, f"a name of {searched}, and a range or choices, {_GRAMMAR}")
    ranged = _RANGE.fullmatch(values)
    return _ranged(name, text, ranged, action) if ranged else _choice(name, text, values, action)


def actions_of(task: Task) -> dict[str, argparse.Action]:
    """The options of a task that may be searched, by field."""
    parser = argparse.ArgumentParser(add_help=False)
    add_general_arguments(parser, task)
    task.add_arguments(parser)
    return {action.dest: action for action in parser._actions if action.dest not in _NOT_SEARCHED}


def option_value(action: argparse.Action, value: Any) -> Any:
    """A trial's value as the option's own.

    Args:
        action: Of the option.
        value: A number of a range, or a choice as written.

    Raises:
        ValueError: The option does not take it.
    """
    if not isinstance(value, str):
        return int(value) if action.type is int else value
    if action.nargs == 0:
        if value not in ("true", "false"):
            raise ValueError(value)
        return True if value == "true" else None
    known = action.choices
    if value == _NONE and (known is None or _NONE not in known):
        return None
    convert: Any = action.type or str
    several = action.nargs in ("+", "*")
    values = tuple(convert(word) for word in (value.split("+") if several else [value]))
    if known is not None and not set(values) <= set(known):
        raise ValueError(value)
    return values if several else values[0]


def words_of(actions: Mapping[str, argparse.Action], given: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line."""
    words: list[str] = []
    for name, value in given.items():
        if value is None or value is False or name not in actions:
            continue
        words.append(max(actions[name].option_strings, key=len))
        if value is not True:
            values = value if isinstance(value, (tuple, list)) else [value]
            words += [f"{one:.6g}" if isinstance(one, float) else shlex.quote(str(one)) for one in values]
    return words


def field_of(options: TrainOptions, name: str) -> Any:
    """A field of the options, or of the task's own among them."""
    own = options.task_options
    return getattr(options, name) if hasattr(options, name) else getattr(own, name, None)


def _ranged(name: str, text: str, found: re.Match[str], action: argparse.Action) -> Knob:
    log, low, high, step = bool(found[1]), found[2], found[3], found[4]
    bounds = _number(low), _number(high)
    if action.type not in (int, float) or None in bounds or not bounds[0] < bounds[1]:  # type: ignore[operator]
        raise _wrong(text, "a range of numbers, the lower end first, for an option that takes a number")
    whole = action.type is int
    if whole and not all(map(_WHOLE.fullmatch, (low, high))):
        raise _wrong(text, "whole numbers")
    if step is not None and not (whole and not log and step.isdigit() and int(step) >= 1):
        raise _wrong(text, "a step of whole numbers on an even scale, such as 64..256/32")
    if log and bounds[0] <= 0:  # type: ignore[operator]
        raise _wrong(text, "numbers above 0 on a logarithmic scale")
    return Knob(name, (), bounds[0], bounds[1], log, whole, int(step or 1))  # type: ignore[arg-type]


def _choice(name: str, text: str, values: str, action: argparse.Action) -> Knob:
    choices = tuple(word.strip() for word in values.split(","))
    if len(choices) < 2 or len(set(choices)) < len(choices) or "" in choices:
        raise _wrong(text, f"at least two different values, or a range, {_GRAMMAR}")
    for value in choices:
        try:
            option_value(action, value)
        except ValueError:
            known = "" if action.choices is None else f" of {', '.join(map(str, action.choices))}"
            raise _wrong(text, f"values{known} that the option takes, not {value!r}") from None
    return Knob(name, choices)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text_of(value: Any) -> str:
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _wrong(text: str, expected: str) -> UsageError:
    return UsageError("Option --space", got=repr(text), expected=expected, fix="Correct it.")

"""Two versions of a model against each other: clients split between them (A/B), or one that ran in the
shadow of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from runtimes import UsageError
from sdk.monitor.log_reading import Logged, models_in, read_log
from sdk.monitor.log_tables import AB, MAIN, SHADOW, LogTables
from sdk.monitor.reference import OUTPUT
from sdk.monitor.statistics import mann_whitney, p_words, two_proportions, wilson

SIGNIFICANCE = 0.05
SAME_SHARE = 0.01
"""Answers without words agree when all their numbers differ by less than this share of the larger."""
FEWEST = 30
"""Feedback of fewer items a version is not compared: the normal approximation does not hold."""


@dataclass(frozen=True)
class Side:
    """One version.

    Attributes:
        version: Its label.
        route: How it was reached.
        rows: Predictions in the log.
        median_ms: Of their latencies.
        p95_ms: Likewise.
        judged: Predictions that somebody gave feedback on.
        correct: Of these, how many were right.
    """

    version: str
    route: str
    rows: int
    median_ms: float
    p95_ms: float
    judged: int
    correct: int


@dataclass(frozen=True)
class Difference:
    """Of the challenger from the model itself.

    Attributes:
        what: ``correct`` (share of judged predictions, in the range -1..1) or ``latency`` (the probability
            that a prediction of the challenger takes longer).
        value: The estimate.
        low: Lower end of its 95 % interval; None for the latency.
        high: Upper end.
        p_value: Two-sided.
    """

    what: str
    value: float
    low: float | None
    high: float | None
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether it is hardly an accident."""
        return self.p_value <= SIGNIFICANCE


@dataclass(frozen=True)
class Agreement:
    """How often the shadow gave the model's answer.

    Attributes:
        same: Items with the same answer.
        items: Items that both answered.
        low: Lower end of the share's 95 % interval.
        high: Upper end.
    """

    same: int
    items: int
    low: float
    high: float


@dataclass(frozen=True)
class SplitReport:
    """What the log says of a model and its challengers.

    Attributes:
        model: The name.
        sides: The model itself first.
        differences: By the challenger's version.
        agreements: By the shadow's version.
    """

    model: str
    sides: tuple[Side, ...]
    differences: Mapping[str, tuple[Difference, ...]]
    agreements: Mapping[str, Agreement]

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)


def compare_versions(tables: LogTables, model: str | None) -> SplitReport:
    """Compare the newest version that answered as the model itself with all others of the log.

    Args:
        tables: Of the log.
        model: Its name; None where the log holds only one.

    Raises:
        UsageError: There is no such model, or no second version.
    """
    name = _only_model(tables, model)
    rows = read_log(tables, name, routes=(MAIN, AB, SHADOW))
    sides: dict[tuple[str, str], list[Logged]] = {}
    for row in rows:
        sides.setdefault((row.route, row.version), []).append(row)
    mains = [key for key in sides if key[0] == MAIN]
    others = [key for key in sides if key[0] != MAIN]
    if not mains or not others:
        raise UsageError("Log", got=f"one version of {name!r}", expected="two that ran side by side",
                         fix="Serve with --ab or --shadow, and --log.")  # fmt: skip
    main = max(mains, key=lambda key: sides[key][-1].at)
    verdicts = _verdicts(tables, name)
    judged = {key: _judged(sides[key], verdicts) for key in (main, *others)}
    told = [_side(key, sides[key], judged[key]) for key in (main, *others)]
    differences = {key[1]: _differences(sides, judged, main, key) for key in others if key[0] == AB}
    agreements = {
        key[1]: found
        for key in others
        if key[0] == SHADOW and (found := _agreement(rows, sides[key])) is not None
    }
    return SplitReport(name, tuple(told), differences, agreements)


def as_text(report: SplitReport) -> str:
    """For people."""
    lines = [report.model]
    for side in report.sides:
        right = f", {side.correct} of {side.judged} judged ones right" if side.judged else ""
        lines.append(
            f"  {side.route:<7}{side.version}: {side.rows:,} predictions, median {side.median_ms:.2f} ms, "
            f"p95 {side.p95_ms:.2f} ms{right}"
        )
    for version, differences in report.differences.items():
        lines += [f"  {version}: {_in_words(difference)}" for difference in differences]
        if not any(difference.what == "correct" for difference in differences):
            lines.append(
                f"  {version}: fewer than {FEWEST} judged predictions a side: which is right is open"
            )
    for version, same in report.agreements.items():
        lines.append(
            f"  {version}: {same.same / same.items:.2%} of {same.items:,} answers are the model's "
            f"({same.low:.2%} to {same.high:.2%})"
        )
    return "\n".join(lines)


def same_answer(first: Mapping[str, float | str], second: Mapping[str, float | str]) -> bool:
    """Whether two rows' answers agree: in every word where there are any (a label), else in every number."""
    one, other = ({k: v for k, v in row.items() if k.startswith(OUTPUT)} for row in (first, second))
    words = [name for name, value in one.items() if isinstance(value, str)]
    if words:
        return all(one[name] == other.get(name) for name in words)
    return one.keys() == other.keys() and all(_close(one[name], other[name]) for name in one)


def _close(first: float | str, second: float | str) -> bool:
    one, other = float(first), float(second)
    return abs(one - other) <= SAME_SHARE * max(abs(one), abs(other))


def _only_model(tables: LogTables, model: str | None) -> str:
    there = sorted({name for name, _, _ in models_in(tables)})
    if (model is None and len(there) == 1) or model in there:
        return model or there[0]
    raise UsageError("Option --model", got=repr(model), expected=f"one of {', '.join(there) or 'none'}",
                     fix="Name one that is in the log.")  # fmt: skip


def _verdicts(tables: LogTables, model: str) -> dict[tuple[str, int], tuple[bool | None, str | None]]:
    import sqlalchemy as sa

    table = tables.feedback
    query = sa.select(table.c.request, table.c.item, table.c.correct, table.c.label).where(
        table.c.model == model
    )
    with tables.engine.connect() as connection:
        return {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(query)}


def _judged(
    rows: Sequence[Logged], verdicts: Mapping[tuple[str, int], tuple[bool | None, str | None]]
) -> tuple[int, int]:
    """How many rows were right, and of how many that is known."""
    right = known = 0
    for row in rows:
        correct, label = verdicts.get((row.request, row.item), (None, None))
        if row.route == SHADOW:
            correct = None  # that was said of the answer which was given, not of the shadow's
        if correct is None and label is not None and f"{OUTPUT}label" in row.features:
            correct = row.features[f"{OUTPUT}label"] == label
        if correct is not None:
            known += 1
            right += correct
    return right, known


def _side(key: tuple[str, str], rows: Sequence[Logged], judged: tuple[int, int]) -> Side:
    median, p95 = np.quantile([row.latency_ms for row in rows], (0.5, 0.95)).tolist()
    return Side(key[1], key[0], len(rows), median, p95, judged[1], judged[0])


def _differences(
    sides: Mapping[tuple[str, str], Sequence[Logged]],
    judged: Mapping[tuple[str, str], tuple[int, int]],
    main: tuple[str, str],
    other: tuple[str, str],
) -> tuple[Difference, ...]:
    found = []
    if min(judged[main][1], judged[other][1]) >= FEWEST:
        found.append(Difference("correct", *two_proportions(judged[main], judged[other])))
    latencies = [np.array([row.latency_ms for row in sides[key]]) for key in (main, other)]
    slower, p_value = mann_whitney(*latencies)
    found.append(Difference("latency", slower, None, None, p_value))
    return tuple(found)


def _agreement(rows: Sequence[Logged], shadow: Sequence[Logged]) -> Agreement | None:
    answered = {(row.request, row.item): row.features for row in rows if row.route != SHADOW}
    pairs = [(answered.get((row.request, row.item)), row.features) for row in shadow]
    known = [(first, second) for first, second in pairs if first is not None]
    if not known:
        return None
    same = sum(same_answer(first, second) for first, second in known)
    return Agreement(same, len(known), *wilson(same, len(known)))


def _in_words(difference: Difference) -> str:
    sure = "significant" if difference.significant else "not significant"
    likely = p_words(difference.p_value)
    if difference.what == "latency":
        return f"slower than the model in {difference.value:.1%} of pairs (p {likely}, {sure})"
    low, high = 100 * (difference.low or 0.0), 100 * (difference.high or 0.0)
    interval = f"{low:+.2f} to {high:+.2f}; p {likely}, {sure}"
    return f"{100 * difference.value:+.2f} points right ({interval})"

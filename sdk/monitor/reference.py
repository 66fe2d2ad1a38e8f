"""What a model's inputs and answers looked like where it was proved: the distribution that drift is measured
from, stored in the artifact.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from runtimes import Array, SpecError

POINTS = 128
"""Quantiles that are kept of a feature: 0.7 kB, and a distribution known to half a per cent."""
MOST_CATEGORIES = 50
"""Categories that are kept of a feature, the most frequent; the others count as `OTHER`."""
OTHER = "(other)"
INPUT, OUTPUT = "input.", "output."
"""Prefixes of features' names, by what they are of."""

Row = Mapping[str, "float | str"]
"""One prediction's features by name."""


@dataclass(frozen=True)
class NumberReference:
    """A feature that is a number.

    Attributes:
        quantiles: Base64 of `POINTS` values that stand evenly in the ordered sample, or of all of fewer,
            little-endian float32, ascending.
        count: How many values they stand for.
    """

    quantiles: str
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> NumberReference:
        """Sum up a sample."""
        ordered = np.sort(np.fromiter(values, np.float32))
        kept = ordered
        if len(ordered) > POINTS:
            places = ((np.arange(POINTS) + 0.5) / POINTS * len(ordered)).astype(int)
            kept = ordered[places]
        return cls(b64encode(kept.astype("<f4").tobytes()).decode(), len(ordered))

    def values(self) -> Array:
        """The quantiles, float32, ascending."""
        return np.frombuffer(b64decode(self.quantiles), "<f4").astype(np.float32)


@dataclass(frozen=True)
class WordReference:
    """A feature that is a word, such as a label.

    Attributes:
        counts: How often each was there; beyond `MOST_CATEGORIES` they are `OTHER`.
    """

    counts: dict[str, int]

    @classmethod
    def of(cls, words: Iterable[str]) -> WordReference:
        """Count a sample."""
        counted = Counter(words)
        kept = dict(counted.most_common(MOST_CATEGORIES))
        rest = counted.total() - sum(kept.values())
        return cls({**kept, OTHER: rest} if rest else kept)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts.values())

    def tally(self, words: Iterable[str]) -> dict[str, int]:
        """Count words in the reference's categories."""
        closed = OTHER in self.counts
        counted: Counter[str] = Counter()
        for word, count in Counter(words).items():
            counted[word if word in self.counts or not closed else OTHER] += count
        return dict(counted)


@dataclass(frozen=True)
class Reference:
    """The features of the predictions that an artifact was proved with.

    Attributes:
        split: The data they are of, such as ``test``.
        rows: How many predictions.
        numbers: Features that are numbers, by name.
        words: Features that are words, by name.
    """

    split: str
    rows: int
    numbers: dict[str, NumberReference]
    words: dict[str, WordReference]

    def __post_init__(self) -> None:
        for name, feature in self.numbers.items():
            try:
                usable = len(feature.values()) > 0
            except ValueError:
                usable = False
            if not usable:
                raise SpecError(f"reference.numbers.{name}", got="no numbers", expected="quantiles, base64",
                                fix="Export again.")  # fmt: skip

    @classmethod
    def of(cls, rows: Iterable[Row], split: str) -> Reference | None:
        """Sum up predictions; None where there is nothing to sum up."""
        columns = columns_of(rows)
        count = max((len(column) for column in columns.values()), default=0)
        if not count:
            return None
        numbers: dict[str, NumberReference] = {}
        words: dict[str, WordReference] = {}
        for name, column in columns.items():
            if isinstance(column[0], str):
                words[name] = WordReference.of(str(value) for value in column)
            else:
                numbers[name] = NumberReference.of(float(value) for value in column)
        return cls(split, count, numbers, words)


def columns_of(rows: Iterable[Row]) -> dict[str, list[float | str]]:
    """Features by name, with their values over all rows that have them."""
    columns: dict[str, list[float | str]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns

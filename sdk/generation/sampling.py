"""Which token comes next: greedy, or drawn by temperature, top-k and top-p."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from runtimes import Array, EngineError, UsageError

GREEDY = 0.0
"""Temperature at which the likeliest token is taken."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. One seed gives one text, in every runtime.

    Attributes:
        temperature: Logits are divided by it; below 1 likely tokens become likelier, 0 takes the likeliest.
        top_k: Only so many of the likeliest tokens are drawn from; None is all.
        top_p: Only the likeliest tokens that together have this share of the probability are drawn from
            (nucleus sampling, Holtzman et al. 2020); None is all.
        seed: Of the draws.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        number = isinstance(self.temperature, (int, float)) and not isinstance(self.temperature, bool)
        _require("temperature", self.temperature, number and 0 <= self.temperature < np.inf, "0 or above")
        _require("top_k", self.top_k, self.top_k is None or _whole(self.top_k, 1), "a whole number from 1")
        _require("seed", self.seed, _whole(self.seed, 0), "a whole number from 0")
        share = self.top_p is None or (isinstance(self.top_p, (int, float)) and 0 < self.top_p <= 1)
        _require("top_p", self.top_p, share, "above 0, at most 1")
        if self.temperature == GREEDY and (self.top_k is not None or self.top_p is not None):
            raise UsageError(
                "Options temperature and top_k or top_p",
                got="temperature 0, which takes the likeliest token",
                expected="a temperature above 0 where tokens are drawn from several",
                fix="Leave the others out, or raise the temperature.",
            )


class Choice(NamedTuple):
    """A token with the logarithm of the probability that the model gave it, before anything was left out."""

    token: int
    score: float


class Sampler:
    """Draws one token after the other.

    Args:
        sampling: How.
        allowed: bool (V,), tokens that may be written at all.
    """

    def __init__(self, sampling: Sampling, allowed: Array) -> None:
        self._sampling = sampling
        self._allowed = allowed
        self._random = np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logits: Array) -> Choice:
        """The next token.

        Args:
            logits: float32 (V,).

        Raises:
            EngineError: They are not finite.
        """
        scores = log_softmax(logits[None])[0]
        kept = np.where(self._allowed, scores, -np.inf)
        greedy = self._sampling.temperature == GREEDY
        token = int(kept.argmax()) if greedy else self._drawn(kept)
        return Choice(token, float(scores[token]))

    def _drawn(self, scores: Array) -> int:
        order = np.argsort(-scores, kind="stable")
        order = order[: self._sampling.top_k] if self._sampling.top_k else order
        warmed = scores[order] / self._sampling.temperature
        shares = np.exp(warmed - warmed[0])
        shares /= shares.sum()
        if self._sampling.top_p is not None:
            # The token that crosses the share is the last that is kept, so that there is always one.
            last = int(np.searchsorted(shares.cumsum(), self._sampling.top_p)) + 1
            order, shares = order[:last], shares[:last]
        edges = shares.cumsum()
        at = int(np.searchsorted(edges, self._random.random() * edges[-1], side="right"))
        return int(order[min(at, len(order) - 1)])


def log_softmax(logits: Array) -> Array:
    """Natural logarithms of probabilities, float64 (N, V), of logits (N, V).

    Raises:
        EngineError: A logit is NaN or infinite: the model, or its precision, is broken.
    """
    if not np.isfinite(logits).all():
        raise EngineError(
            "Output 'logits'",
            got="NaN or infinity",
            expected="finite numbers",
            fix="Export in fp32, or train again: the network overflows.",
        )
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _require(option: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise UsageError(f"Option {option!r}", got=repr(value), expected=expected, fix="Correct the value.")

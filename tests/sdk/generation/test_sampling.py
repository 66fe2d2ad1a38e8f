"""Drawing tokens."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes import EngineError, UsageError
from sdk.generation.sampling import Sampler, Sampling, log_softmax

SHARES = np.array([0.5, 0.25, 0.15, 0.1])
LOGITS = np.log(SHARES).astype(np.float32)
DRAWS = 4000
# Three standard deviations of a share near one half over so many draws.
SPREAD = 3 * 0.5 / np.sqrt(DRAWS)
ALL = np.ones(4, bool)


def _shares(sampling: Sampling, allowed: np.ndarray = ALL) -> np.ndarray:
    sampler = Sampler(sampling, allowed)
    drawn = [sampler.choose(LOGITS).token for _ in range(DRAWS)]
    return np.bincount(drawn, minlength=4) / DRAWS


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), SHARES),
        (Sampling(temperature=0.5), SHARES**2 / (SHARES**2).sum()),
        (Sampling(top_k=2), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_p=0.8), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0]),
        (Sampling(top_p=0.5), [1, 0, 0, 0]),
        (Sampling(top_p=0.01), [1, 0, 0, 0]),
        (Sampling(temperature=0.0), [1, 0, 0, 0]),
        (Sampling(top_k=99), SHARES),
    ],
    ids=["plain", "temperature", "top-k", "top-p", "top-p edge", "top-p tiny", "greedy", "top-k of more"],
)
def test_tokens_are_drawn_in_their_shares(sampling: Sampling, expected: list[float]) -> None:
    np.testing.assert_allclose(_shares(sampling), expected, atol=SPREAD)


def test_top_p_counts_the_shares_that_temperature_and_top_k_left() -> None:
    # Of the two that top-k keeps, the first has 2/3.
    np.testing.assert_allclose(_shares(Sampling(top_k=2, top_p=0.6)), [1, 0, 0, 0])


def test_tokens_that_are_not_allowed_are_never_drawn_but_count_in_the_score() -> None:
    allowed = np.array([False, True, True, True])
    assert _shares(Sampling(), allowed)[0] == 0
    choice = Sampler(Sampling(temperature=0.0), allowed).choose(LOGITS)
    assert choice.token == 1
    assert choice.score == pytest.approx(np.log(0.25), abs=1e-6)


def test_one_seed_gives_one_text_and_another_gives_another() -> None:
    def drawn(seed: int) -> list[int]:
        sampler = Sampler(Sampling(seed=seed), ALL)
        return [sampler.choose(LOGITS).token for _ in range(50)]

    assert drawn(3) == drawn(3) != drawn(4)


def test_rounding_of_another_engine_does_not_change_what_is_drawn() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-6, (200, 4)).astype(np.float32)
    plain, rounded = (Sampler(Sampling(seed=1), ALL) for _ in range(2))
    assert [plain.choose(LOGITS).token for _ in noise] == [rounded.choose(LOGITS + n).token for n in noise]


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_k": 0},
        {"top_k": 1.5},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"seed": -1},
        {"seed": True},
        {"temperature": 0, "top_k": 5},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        Sampling(**given)  # type: ignore[arg-type]


def test_log_softmax_is_exact_for_large_logits_and_refuses_what_is_not_finite() -> None:
    logits = np.array([[1e4, 1e4 + np.log(3)]], np.float64)
    np.testing.assert_allclose(np.exp(log_softmax(logits)), [[0.25, 0.75]], atol=1e-9)
    with pytest.raises(EngineError, match="NaN or infinity"):
        log_softmax(np.array([[0.0, np.nan]]))

"""The latency gate: whether a candidate is slower than its baseline, told apart from noise."""

from sdk.compare.comparison import Comparison, Duel, compare
from sdk.compare.rounds import Contestant
from sdk.compare.verdict import PASS, REGRESSION, UNDECIDED, Limits, Verdict

__all__ = [
    "PASS",
    "REGRESSION",
    "UNDECIDED",
    "Comparison",
    "Contestant",
    "Duel",
    "Limits",
    "Verdict",
    "compare",
]

"""How often the latency gate is wrong: false alarms and missed slowdowns, beside the naive rule.

Four artifacts of about 2 ms take turns in every round: a baseline, its identical copy, one that is 5 %
heavier and one that is 10 % heavier, by longer graphs. From the rounds, in their order, three series of
comparisons are fed, each by the gate's own code with its own stopping rule, until there are enough of each;
one of each kind begins every third round.
The naive rule is applied to the same launches.

  python -m demos.gate_study --comparisons 100 --load neighbours --out study.json
  python -m demos.gate_study --comparisons 100 --load quiet --out study.json    adds to the same file
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demos.study_models import write_chain
from sdk.atomic_write import atomic_write
from sdk.compare import REGRESSION, Contestant, Duel, Limits
from sdk.compare.comparison import BUDGET_S, this_machine_class
from sdk.compare.rounds import LaunchRecord, run_round
from sdk.compare.statistics import Ratio, paired_ratio

LAYERS = {"baseline": 40, "same": 40, "5 % more layers": 42, "10 % more layers": 44}
"""Layers of each artifact."""
NEIGHBOURS = 2
STRIDE = 3
"""Neighbouring comparisons share rounds: the rates are the same, and a study takes half an hour, not two."""
TABLE_BEGIN, TABLE_END = "<!-- study -->", "<!-- /study -->"
NAIVE_LAUNCHES, NAIVE_LIMIT = 10, 1.05


@dataclass
class Series:
    """Comparisons of the baseline with one of the others. A new one begins every `STRIDE` rounds."""

    running: list[Duel] = field(default_factory=list)
    ended: list[dict] = field(default_factory=list)
    rounds: int = 0

    def add(self, baseline: LaunchRecord, candidate: LaunchRecord, seconds: float) -> None:
        """Feed the running comparisons; note the verdicts of those that are over."""
        if self.rounds % STRIDE == 0:
            self.running.append(Duel(Limits(), BUDGET_S))
        self.rounds += 1
        over = [duel for duel in self.running if duel.add(baseline, candidate, seconds)]
        self.ended += [_ended(duel) for duel in over]
        self.running = [duel for duel in self.running if duel not in over]


def _ended(duel: Duel) -> dict:
    leading, *others = duel.verdicts()
    regressed = [v.metric for v in (leading, *others) if v.verdict == REGRESSION]
    return {
        "latency": leading.verdict,
        "ratio": leading.ratio.value,
        "regressed": regressed,
        "rounds": duel.rounds,
        "seconds": duel.seconds,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run the study under one load and add it to the file."""
    parser = argparse.ArgumentParser(
        prog="python -m demos.gate_study", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--comparisons", type=int, default=100, metavar="N", help="of each kind")
    parser.add_argument(
        "--load", choices=("quiet", "neighbours"), default="neighbours", help="what else runs"
    )
    parser.add_argument("--out", type=Path, default=Path("gate-study.json"), metavar="FILE")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table between its marks there")
    args = parser.parse_args(words)
    found = study(args.comparisons, args.load == "neighbours")
    everything = json.loads(args.out.read_text()) if args.out.exists() else {}
    everything[args.load] = found
    atomic_write(args.out, json.dumps(everything, indent=1) + "\n")
    print(table(everything))
    if args.docs:
        text = args.docs.read_text(encoding="utf-8")
        before, after = text.split(TABLE_BEGIN)[0], text.split(TABLE_END)[1]
        atomic_write(args.docs, f"{before}{TABLE_BEGIN}\n{table(everything)}\n{TABLE_END}{after}")
    return 0


def study(comparisons: int, loaded: bool) -> dict:
    """Run rounds until each series has enough comparisons."""
    others = [name for name in LAYERS if name != "baseline"]
    series = {name: Series() for name in others}
    launches: dict[str, list[LaunchRecord]] = {name: [] for name in LAYERS}
    with tempfile.TemporaryDirectory(prefix="edgewright-study-") as folder, _neighbours(loaded):
        paths = [write_chain(Path(folder) / f"{i}.onnx", n) for i, n in enumerate(LAYERS.values())]
        for records, seconds in _rounds([Contestant(path) for path in paths]):
            for name, record in zip(LAYERS, records, strict=True):
                launches[name].append(record)
            for name in others:
                # Two of the four artifacts are a comparison's own.
                series[name].add(launches["baseline"][-1], launches[name][-1], seconds * 2 / len(LAYERS))
            fewest = min(len(one.ended) for one in series.values())
            _show(len(launches["baseline"]), series)
            if fewest >= comparisons:
                break
    return {
        "machine": this_machine_class(),
        "rounds": len(launches["baseline"]),
        "baseline_ms": 1e3 * float(np.median([_median(record) for record in launches["baseline"]])),
        "series": {
            name: {
                **_summary(series[name].ended[:comparisons]),
                "true_ratio": vars(_true_ratio(launches["baseline"], launches[name])),
                "naive": _naive(launches["baseline"], launches[name]),
            }
            for name in others
        },
    }


def _show(rounds: int, series: Mapping[str, Series]) -> None:
    """How it stands, on standard error."""
    counts = (
        f"{name}: {sum(bool(one['regressed']) for one in found.ended)} of {len(found.ended)}"
        for name, found in series.items()
    )
    print(f"{rounds} rounds; regressions: {', '.join(counts)}", file=sys.stderr)


def _rounds(contestants: Sequence[Contestant]) -> Iterator[tuple[list[LaunchRecord], float]]:
    order, blocks = random.Random(0), None
    while True:
        begin = time.perf_counter()
        records = run_round(contestants, order, blocks)
        blocks = len(records[0].blocks_s)
        yield records, time.perf_counter() - begin


@contextmanager
def _neighbours(loaded: bool) -> Iterator[None]:
    with ExitStack() as stack:
        for seed in range(NEIGHBOURS if loaded else 0):
            words = [sys.executable, "-m", "demos.neighbour", str(seed)]
            process = stack.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE))
            stack.callback(process.stdin.close)
        yield


def _summary(ended: Sequence[dict]) -> dict:
    seconds = [one["seconds"] for one in ended]
    return {
        "comparisons": len(ended),
        "regression": sum(bool(one["regressed"]) for one in ended),
        "regression_in": {
            metric: sum(metric in one["regressed"] for one in ended)
            for metric in sorted({metric for one in ended for metric in one["regressed"]})
        },
        "undecided": sum(not one["regressed"] and one["latency"] == "undecided" for one in ended),
        "median_seconds": float(np.median(seconds)),
        "longest_seconds": max(seconds),
        "median_rounds": float(np.median([one["rounds"] for one in ended])),
    }


def _true_ratio(baseline: Sequence[LaunchRecord], candidate: Sequence[LaunchRecord]) -> Ratio:
    """The ratio from all rounds together, far surer than any one comparison."""
    figures = [np.array([[min(map(min, r.blocks_s))] for r in side]) for side in (baseline, candidate)]
    return paired_ratio(*figures, 0.0, 0.95, seed=0)


def _naive(baseline: Sequence[LaunchRecord], candidate: Sequence[LaunchRecord]) -> dict:
    """Mean of ten launches' medians 5 % above the baseline's, launches in turns or one side first."""
    before, after = ([_median(record) for record in side] for side in (baseline, candidate))
    n, last = NAIVE_LAUNCHES, len(before)
    starts = range(0, last - n + 1, n)
    in_turns = [np.mean(after[s : s + n]) > NAIVE_LIMIT * np.mean(before[s : s + n]) for s in starts]
    starts = range(0, last - 2 * n + 1, n)
    in_a_row = [np.mean(after[s + n : s + 2 * n]) > NAIVE_LIMIT * np.mean(before[s : s + n]) for s in starts]
    return {
        "in_turns": {"comparisons": len(in_turns), "regression": int(sum(in_turns))},
        "in_a_row": {"comparisons": len(in_a_row), "regression": int(sum(in_a_row))},
    }


def _median(record: LaunchRecord) -> float:
    return float(np.median([duration for block in record.blocks_s for duration in block]))


def table(everything: dict) -> str:
    """The study as a Markdown table, as docs/gate.md holds it."""
    lines = [
        "| machine | candidate | measured ratio | gate: regression | undecided | median, longest time "
        "| naive, in turns | naive, one side first |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for load, found in everything.items():
        for name, one in found["series"].items():
            true, naive = one["true_ratio"], one["naive"]
            lines.append(
                f"| {load} | {name} | {true['value']:.3f} ({true['low']:.3f} to {true['high']:.3f}) "
                f"| {_share(one)} | {one['undecided']} "
                f"| {one['median_seconds']:.0f} s, {one['longest_seconds']:.0f} s "
                f"| {_share(naive['in_turns'])} | {_share(naive['in_a_row'])} |"
            )
    return "\n".join(lines)


def _share(counts: dict) -> str:
    return f"{counts['regression']} of {counts['comparisons']}"


if __name__ == "__main__":
    raise SystemExit(main())

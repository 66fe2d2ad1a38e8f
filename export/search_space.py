"""What `compress` searches: precision × pruning × recovery × layers kept in fp32."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from export.recipe import FP16, FP32, INT8, INT8_DYNAMIC, MINMAX, MSE, PERCENTILE, Recipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MAGNITUDE, TAYLOR = "magnitude", "taylor"
IMPORTANCES = (MAGNITUDE, TAYLOR)
EPOCHS = (1, 2, 4)
"""Of distillation after pruning. Most of what can be recovered is back after a few."""
PRUNED_STEP, MOST_PRUNED = 5, 80
"""In per cent of channels. Steps finer than five are told apart by no measurement here."""
MOST_KEPT = 3
_INT8_CALIBRATORS = (MINMAX, MSE, PERCENTILE)


@dataclass(frozen=True)
class Candidate:
    """One way to compress. Two candidates that give the same artifact are equal: see `canonical`.

    Attributes:
        precision: As in `Recipe`.
        calibrator: As in `Recipe`; ``minmax`` where nothing is calibrated.
        pruned_percent: Share of channels that is removed, 0..80.
        importance: What decides which channels go: ``magnitude`` or ``taylor``.
        epochs: Of distillation from the checkpoint after pruning; 0 where nothing was pruned.
        keep_worst: How many of the layers that quantisation hurts most stay in fp32; only for ``int8``.
    """

    precision: str = FP32
    calibrator: str = MINMAX
    pruned_percent: int = 0
    importance: str = MAGNITUDE
    epochs: int = 0
    keep_worst: int = 0

    @property
    def key(self) -> str:
        """Stable JSON that names this candidate in files."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def label(self) -> str:
        """For people, such as ``50 % pruned (taylor, 2 epochs) + int8 mse, 1 layer fp32``."""
        parts = []
        if self.pruned_percent:
            unit = "epoch" if self.epochs == 1 else "epochs"
            parts.append(f"{self.pruned_percent} % pruned ({self.importance}, {self.epochs} {unit})")
        numbers = f"{self.precision} {self.calibrator}" if self.precision == INT8 else self.precision
        if self.keep_worst:
            numbers += f", {self.keep_worst} layer{'s' if self.keep_worst > 1 else ''} fp32"
        return " + ".join([*parts, numbers])

    def canonical(self) -> Candidate:
        """The same artifact with every field that has no effect at its default."""
        plain = Candidate()
        result = self
        if not self.pruned_percent:
            result = replace(result, importance=plain.importance, epochs=plain.epochs)
        if self.precision != INT8:
            result = replace(result, calibrator=plain.calibrator, keep_worst=plain.keep_worst)
        return result

    def recipe(self, worst_layers: Sequence[str] = ()) -> Recipe:
        """How its numbers are lowered.

        Args:
            worst_layers: Names, the worst first; at least `keep_worst` of them.
        """
        return Recipe(self.precision, self.calibrator, keep=tuple(worst_layers[: self.keep_worst]))


@dataclass(frozen=True)
class Space:
    """The candidates of one search.

    Attributes:
        precisions: Besides ``fp32``, what every target of the search has and what can gain there.
        layers: Number of layers that could be kept in fp32.
    """

    precisions: tuple[str, ...]
    layers: int

    def numerics(self) -> tuple[tuple[str, str], ...]:
        """Pairs of precision and calibrator."""
        pairs = [(FP32, MINMAX)]
        for precision in self.precisions:
            calibrators = _INT8_CALIBRATORS if precision == INT8 else (MINMAX,)
            pairs += [(precision, calibrator) for calibrator in calibrators]
        return tuple(pairs)

    def ladder(self) -> tuple[Candidate, ...]:
        """What is tried first, in order: what a person who knows the trade would try, the cheap first."""
        smallest = self.precisions[0] if self.precisions else FP32
        rungs = [
            Candidate(),
            Candidate(smallest),
            Candidate(smallest, MSE),
            # A quarter of the channels is half of the multiply-accumulates.
            Candidate(smallest, pruned_percent=25, epochs=4),
            Candidate(smallest, pruned_percent=50, epochs=4),
            Candidate(smallest, keep_worst=min(2, self.layers)),
            Candidate(smallest, pruned_percent=35, importance=TAYLOR, epochs=4),
            *(Candidate(precision) for precision in self.precisions[1:]),
        ]
        return tuple(dict.fromkeys(rung.canonical() for rung in rungs))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as Optuna sees it."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return {
            "numerics": CategoricalDistribution([" ".join(pair) for pair in self.numerics()]),
            "pruned_percent": IntDistribution(0, MOST_PRUNED, step=PRUNED_STEP),
            "importance": CategoricalDistribution(IMPORTANCES),
            "epochs": CategoricalDistribution(EPOCHS),
            "keep_worst": IntDistribution(0, min(MOST_KEPT, self.layers)),
        }

    def candidate(self, values: dict[str, Any]) -> Candidate:
        """From a suggestion of Optuna's."""
        precision, calibrator = values["numerics"].split(" ")
        rest = {name: value for name, value in values.items() if name != "numerics"}
        return Candidate(precision, calibrator, **rest).canonical()

    def values(self, candidate: Candidate) -> dict[str, Any]:
        """A candidate as Optuna's values; the inverse of `candidate`."""
        return {
            "numerics": f"{candidate.precision} {candidate.calibrator}",
            "pruned_percent": candidate.pruned_percent,
            "importance": candidate.importance,
            "epochs": candidate.epochs or EPOCHS[0],
            "keep_worst": candidate.keep_worst,
        }

    def all(self) -> Iterator[Candidate]:
        """Every candidate once, in a fixed order."""
        for precision, calibrator in self.numerics():
            kept = range(min(MOST_KEPT, self.layers) + 1) if precision == INT8 else range(1)
            for keep_worst in kept:
                yield Candidate(precision, calibrator, keep_worst=keep_worst)
                for percent in range(PRUNED_STEP, MOST_PRUNED + 1, PRUNED_STEP):
                    for importance in IMPORTANCES:
                        for epochs in EPOCHS:
                            yield Candidate(precision, calibrator, percent, importance, epochs, keep_worst)


def distance(one: Candidate, other: Candidate) -> float:
    """How unlike two candidates are: each field that differs counts 1, numbers in proportion."""
    unlike = [one.precision != other.precision, one.calibrator != other.calibrator]
    unlike += [one.importance != other.importance, one.epochs != other.epochs]
    steps = abs(one.pruned_percent - other.pruned_percent) / MOST_PRUNED
    return sum(unlike) + steps + abs(one.keep_worst - other.keep_worst) / MOST_KEPT


def space_for(precisions: Sequence[str], targets: Sequence[str], matrix_share: float, layers: int) -> Space:
    """The space that is worth searching for a network and its targets.

    Args:
        precisions: What every target has.
        targets: Such as ``onnx``.
        matrix_share: Share of the weights in linear, recurrent and attention layers, 0..1.
        layers: How many layers the network has.
    """
    chosen = [INT8] if INT8 in precisions else []
    # Dynamic ranges are for matrix multiplications; convolutions get slower by them.
    if INT8_DYNAMIC in precisions and matrix_share > 0.5:
        chosen.append(INT8_DYNAMIC)
    # CPUs of this class compute half precision by way of fp32: smaller, but int8 is smaller still and faster.
    if FP16 in precisions and all(target in ("trt", "torch2trt") for target in targets):
        chosen.append(FP16)
    return Space(tuple(chosen), layers)

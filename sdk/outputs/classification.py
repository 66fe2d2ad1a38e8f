"""Classification: from scores to labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from runtimes import Array, EngineError, SpecError
from sdk.kinds import OutputKind, Sample
from sdk.results.classification import Classification
from sdk.schemas import COUNT, NUMBER, Schema, listed, one_of, record

ACTIVATIONS = ("softmax", "sigmoid", "none")
SCORES = "scores"
"""Name of the graph output."""


@dataclass(frozen=True)
class ClassificationOutput(OutputKind):
    """How class scores are read.

    Attributes:
        labels: A name per class, in the order of the scores.
        activation: ``softmax`` for one label out of many, ``sigmoid`` for independent labels, ``none``
            where the network's scores are final.
        top_k: How many ranked labels a result lists; at most the number of labels are.
        temperature: What the network's scores are divided by before the activation, so that probabilities
            are as often right as they say (Guo et al. 2017, "On Calibration of Modern Neural Networks",
            section 4.2); 1 leaves them.
    """

    kind: ClassVar[str] = "classification"
    bakeable: ClassVar[tuple[str, ...]] = ("activation",)

    labels: tuple[str, ...]
    activation: str
    top_k: int
    temperature: float

    def __post_init__(self) -> None:
        twice = len(set(self.labels)) != len(self.labels)
        _require("labels", self.labels, len(self.labels) >= 2 and not twice, "two or more different names")
        _require("activation", self.activation, self.activation in ACTIVATIONS, f"one of {ACTIVATIONS}")
        _require("top_k", self.top_k, self.top_k >= 1, "at least 1")
        _require("temperature", self.temperature, self.temperature > 0, "a positive number")

    def activate(self, outputs: Mapping[str, Array], baked: Collection[str]) -> dict[str, Array]:
        """Scores as probabilities: float32 (N, classes). Other outputs of the graph stay as they are."""
        scores = outputs[SCORES].astype(np.float32, copy=False)
        if "activation" not in baked and self.temperature != 1:
            scores = scores / np.float32(self.temperature)
        if "activation" not in baked and self.activation == "softmax":
            shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = shifted / shifted.sum(axis=1, keepdims=True)
        elif "activation" not in baked and self.activation == "sigmoid":
            # tanh form: exp() of a large negative score would overflow.
            scores = 0.5 * (1.0 + np.tanh(0.5 * scores))
        return {**outputs, SCORES: scores}

    def json_schema(self) -> Schema:
        """JSON Schema of a result's `to_dict`."""
        ranked = {"label": one_of(self.labels), "score": NUMBER, "index": COUNT}
        return record({**ranked, "top": listed(record(ranked), most=self.top_k)})

    def features(self, result: Any) -> dict[str, float | str]:
        """The ``label``, and how sure it is."""
        from sdk.monitor.features import score_features  # not needed to predict

        return {"label": result.label, **score_features(result.scores)}

    def read(self, outputs: Mapping[str, Array], samples: Sequence[Sample]) -> list[Any]:
        """One `Classification` per sample; equal scores rank by class order.

        Raises:
            EngineError: A score is NaN: the model, or its precision, is broken.
        """
        scores = outputs[SCORES]
        smallest = scores.min()
        if smallest != smallest:  # noqa: PLR0124 - NaN, which min() carries through; isnan() costs microseconds
            raise EngineError(
                "Output 'scores'",
                got="NaN",
                expected="finite scores",
                fix="Export in fp32, or train again: the network overflows.",
            )
        scores = scores.view()
        scores.setflags(write=False)  # results rank them later, and must not be told otherwise in between
        return [
            Classification.ranked_later(self.labels, self.top_k, row, sample.source)
            for row, sample in zip(scores, samples, strict=True)
        ]


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise SpecError(f"spec.output.{name}", got=repr(value), expected=expected, fix="Correct the spec.")

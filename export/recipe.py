"""The recipe: how an artifact's numbers are made smaller. With a checkpoint it decides the artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtimes import UsageError

FP32, FP16, INT8 = "fp32", "fp16", "int8"
INT8_DYNAMIC, INT8_WEIGHTS, INT4_WEIGHTS = "int8-dynamic", "int8-weights", "int4-weights"
PRECISIONS = (FP32, FP16, INT8, INT8_DYNAMIC, INT8_WEIGHTS, INT4_WEIGHTS)
CALIBRATED = (FP16, INT8)
"""Precisions that need real inputs: the ranges of what flows through the network decide them."""

MINMAX, PERCENTILE, ENTROPY, MSE = "minmax", "percentile", "entropy", "mse"
CALIBRATORS = (MINMAX, PERCENTILE, ENTROPY, MSE)

PER_CHANNEL, PER_TENSOR = "per-channel", "per-tensor"
GRANULARITIES = (PER_CHANNEL, PER_TENSOR)

HOST, GRAPH = "host", "graph"
SUPPRESSORS = (HOST, GRAPH)
"""Who suppresses overlapping boxes."""


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint's numbers are stored and computed.

    Attributes:
        precision: One of `PRECISIONS`. ``int8`` quantises weights and activations with ranges measured on
            calibration data, ``int8-dynamic`` measures activations while running, ``int8-weights`` and
            ``int4-weights`` only store weights that small.
        calibrator: How ``int8`` chooses an activation's range, one of `CALIBRATORS`.
        granularity: One scale per output channel of a weight, or one per weight.
        keep: Layers that stay in fp32: dotted module names in the checkpoint's network.
        nms: ``graph`` puts the suppression of overlapping boxes into the graph (ONNX only); ``host`` leaves
            it to `Predictor`.
        class_maps: A classifier's graph gives class activation maps as well.
    """

    precision: str = FP32
    calibrator: str = MSE
    granularity: str = PER_CHANNEL
    keep: tuple[str, ...] = ()
    nms: str = HOST
    class_maps: bool = False

    def __post_init__(self) -> None:
        for option, value, known in (
            ("--precision", self.precision, PRECISIONS),
            ("--calibrator", self.calibrator, CALIBRATORS),
            ("--granularity", self.granularity, GRANULARITIES),
            ("--nms", self.nms, SUPPRESSORS),
        ):
            if value not in known:
                raise UsageError(
                    f"Option {option}",
                    got=repr(value),
                    expected=f"one of {', '.join(known)}",
                    fix="Correct it.",
                )
        if self.keep and self.precision != INT8:
            raise UsageError(
                "Option --keep",
                got=f"it with --precision {self.precision}",
                expected=f"--precision {INT8}",
                fix="Leave it out: only int8 chooses layer by layer.",
            )

    @property
    def needs_calibration(self) -> bool:
        """Whether real inputs are needed."""
        return self.precision in CALIBRATED

    @property
    def label(self) -> str:
        """What file names say: empty for fp32, else such as ``_int8`` or ``_int8weights``, ``_int8_nms``."""
        precision = "" if self.precision == FP32 else "_" + self.precision.replace("-", "")
        return precision + ("_nms" if self.nms == GRAPH else "")

    def to_json(self) -> dict[str, Any]:
        """For an artifact's evidence."""
        tree: dict[str, Any] = {"precision": self.precision}
        if self.precision == INT8:
            tree |= {"calibrator": self.calibrator, "granularity": self.granularity, "keep": list(self.keep)}
        if self.nms == GRAPH:
            tree["nms"] = GRAPH
        if self.class_maps:
            tree["class_maps"] = True
        return tree

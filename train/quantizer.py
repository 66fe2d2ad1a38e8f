"""What INT8 means for ExecuTorch's XNNPACK delegate: one configuration for calibration and for training.

Weights are symmetric, activations affine, both int8, ranges as XNNPACK's kernels take them (8-bit weights use
-127..127). The package is imported when a quantizer is made, not before.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from runtimes import EngineMissingError, UsageError
from runtimes.errors import first_line

GRANULARITIES = ("per-channel", "per-tensor")
CALIBRATORS = ("minmax", "mse")
"""Ranges from the extremes, or the ranges whose rounding loses least over a histogram."""
WEIGHT_BITS = (8, 4, 3)
SMALLEST_WEIGHT_SCALE = 2**-24
"""ExecuTorch's own 2**-12 rounds away most of a first convolution that has absorbed ``/ 255``: its weights
lie around 0.005, in steps of 0.00004 (0.4 points of accuracy on Fashion-MNIST)."""
SMALLEST_SCALE = 2**-12
"""XNNPACK's own floor under a scale: below it, the ratio of scales leaves its fixed-point range."""


def make_quantizer(
    granularity: str = "per-channel",
    *,
    qat: bool = False,
    dynamic: bool = False,
    calibrator: str = "minmax",
    keep: tuple[str, ...] = (),
    weight_bits: int = 8,
) -> Any:
    """An `XNNPACKQuantizer` for torchao's PT2E flow.

    Args:
        granularity: Of weight scales: ``per-channel`` or ``per-tensor``.
        qat: Fake quantisation that moves its ranges while training.
        dynamic: Linear layers only, activation ranges taken anew from every batch.
        calibrator: One of `CALIBRATORS`; means nothing with `qat` or `dynamic`.
        keep: Dotted names of modules in the traced network that stay in fp32, with all that is in them.
        weight_bits: 8, or 4 or 3 for the range -7..7 or -3..3 (stored in 8: their accuracy, not their size).

    Raises:
        EngineMissingError: executorch or torchao is not installed.
        UsageError: A granularity, calibrator or number of bits that there is not.
    """
    _require("Option --granularity", granularity, GRANULARITIES)
    _require("Option --calibrator for .pte", calibrator, CALIBRATORS)
    _require("Weight bits", weight_bits, WEIGHT_BITS)
    xnnpack = import_xnnpack_quantizer()
    largest = 2 ** (weight_bits - 1) - 1
    config = xnnpack.get_symmetric_quantization_config(
        is_per_channel=granularity == "per-channel",
        is_qat=qat,
        is_dynamic=dynamic,
        weight_qmin=-largest,
        weight_qmax=largest,
    )
    config = _with_fine_weights(config)
    if calibrator == "minmax" and not (qat or dynamic):
        config = _with_extremes(config, xnnpack.MinMaxObserver)
    if dynamic:
        return _dynamic(xnnpack, config, keep)
    return _static(xnnpack, keep).set_global(config).set_filter_function(_outside(keep))


def import_xnnpack_quantizer() -> Any:
    """The module of ExecuTorch's quantizer.

    Raises:
        EngineMissingError: executorch or torchao is not installed.
    """
    try:
        with quiet():
            from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    except ImportError as error:
        raise EngineMissingError(
            "Quantiser of executorch",
            got=f"no usable package ({first_line(error)})",
            expected="executorch with torchao, which quantise for XNNPACK",
            fix="Run: pip install 'edgewright[export]'.",
        ) from error
    return xnnpack_quantizer


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what torchao and executorch note for their own developers from the user's terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def module_names(node: Any) -> list[str]:
    """Dotted names of the modules around a traced node, outermost first; the root itself is left out."""
    stack = node.meta.get("nn_module_stack") or {}
    names = [name.removeprefix("L['self'].") for name, _ in stack.values()]
    return [name for name in names if name and name != "L['self']"]


def _outside(keep: tuple[str, ...]) -> Callable[[Any], bool]:
    kept = frozenset(keep)
    return lambda node: kept.isdisjoint(module_names(node))


def _with_fine_weights(config: Any) -> Any:
    weight = config.weight
    made = weight.observer_or_fake_quant_ctr.p  # torchao's wrapper does not take arguments anew
    given = {**made.keywords, "eps": SMALLEST_WEIGHT_SCALE}
    kind = made.func
    if config.is_qat:
        from torchao.quantization.pt2e import FakeQuantize

        # Training must round to the very steps that an export will choose. Those are of the weights as they
        # are, not of a moving average that they have left behind; and the fused kernel that comes with the
        # configuration makes symmetric steps too wide, by a sixth for weights in -3..3 (torch 2.14).
        given["averaging_constant"] = 1.0
        kind = FakeQuantize
    observer = kind.with_args(**given)
    return replace(config, weight=replace(weight, observer_or_fake_quant_ctr=observer))


def _with_extremes(config: Any, observer: Any) -> Any:
    spec = replace(
        config.input_activation,
        observer_or_fake_quant_ctr=observer.with_args(eps=SMALLEST_SCALE),
    )
    return replace(config, input_activation=spec, output_activation=spec)


def _static(xnnpack: Any, keep: tuple[str, ...]) -> Any:
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    allowed = _outside(keep)

    class FilteringQuantizer(xnnpack.XNNPACKQuantizer):  # type: ignore[misc, name-defined]
        """Concatenations are filtered too: ExecuTorch 1.5 annotates each, whatever the filter says.

        Scores and boxes that a head joins would share one range of 256 steps, and lose all that is outside.
        """

        def annotate(self, model: Any) -> Any:
            annotated = super().annotate(model)
            for node in annotated.graph.nodes:
                if not allowed(node):
                    node.meta.pop(Q_ANNOTATION_KEY, None)
            return annotated

    return FilteringQuantizer()


def _dynamic(xnnpack: Any, config: Any, keep: tuple[str, ...]) -> Any:
    import torch

    class LinearQuantizer(xnnpack.XNNPACKQuantizer):  # type: ignore[misc, name-defined]
        """Leaves the graph as it is: turning scalars into tensors breaks on graphs with index tensors."""

        def transform_for_annotation(self, model: Any) -> Any:
            return model

    quantizer = LinearQuantizer().set_operator_type(torch.ops.aten.linear.default, config)
    return quantizer.set_filter_function(_outside(keep))


def _require(option: str, got: object, known: tuple[Any, ...]) -> None:
    if got not in known:
        raise UsageError(
            option,
            got=repr(got),
            expected=f"one of {', '.join(str(name) for name in known)}",
            fix="Choose one of them.",
        )

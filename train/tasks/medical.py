"""Task ``medical``: what a medical picture shows. DICOM files or ordinary ones, divided by patient."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, UsageError
from sdk.artifact import Metric
from sdk.inputs.dicom import DicomInput
from sdk.inputs.dicom_decode import FRAMES
from sdk.outputs.classification import SCORES
from train.data.medical_folder import HOLD_OUTS, MedicalFolder
from train.data.patients import RULES
from train.fold_division import grouped_folds, neighbour_folds
from train.medical_metrics import ClassRates, mean_rate, rates_by_class
from train.options import TrainOptions, require
from train.plots import reliability_png
from train.start import read_checkpoint
from train.tasks.base import Fold, Report, Split
from train.tasks.image_arguments import add_image_arguments
from train.tasks.image_classification import (
    COMPACT,
    TORCHVISION,
    ImageClassificationTask,
    ImageOptions,
    views_of,
)
from train.tasks.medical_arguments import add_medical_arguments

if TYPE_CHECKING:
    from train.plan import Plan

COMPACT_SIZE_PX, TORCHVISION_SIZE_PX = 128, 224
FITTED = "temperature_scaling"
"""In the evidence: how the temperature was found; null where none was to be."""
FACT = "medical"
"""In the evidence: how the run divided the patients. Rules, never who they are."""
_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class MedicalOptions(ImageOptions):
    """Options of the task.

    Attributes:
        augment: As in `ImageOptions`. Scanners differ in brightness and contrast; left and right mean
            something, so nothing is mirrored unless asked for.
        window: ``header``, ``full``, or centre and width of a fixed one as ``CENTRE/WIDTH``.
        frame: Of several frames in a file: one of `sdk.inputs.dicom_decode.FRAMES`.
        channels: What the network takes: ``grey`` or ``rgb``.
        patients: One of `train.data.patients.RULES`; None is what the data suggests.
        hold_out: One of `train.data.medical_folder.HOLD_OUTS`.
        positive: Of two classes, the one that a positive answer names; None is the last by name.
        temperature: ``fitted`` or ``none``.
    """

    augment: tuple[str, ...] | None = ("shift", "colour-jitter")
    window: str | None = None
    frame: str | None = None
    channels: str | None = None
    patients: str | None = None
    hold_out: str | None = None
    positive: str | None = None
    temperature: str = "fitted"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("frame", FRAMES), ("channels", ("grey", "rgb")), ("patients", RULES),
                            ("hold_out", HOLD_OUTS), ("temperature", ("fitted", "none"))):  # fmt: skip
            value = getattr(self, name)
            flag = f"--{name.replace('_', '-')}"
            require(flag, value, value is None or value in known, f"one of {', '.join(known)}")
        parse_window(self.window)


class MedicalTask(ImageClassificationTask):
    """Medical pictures with one finding each.

    Args:
        patients: How patients are told apart, one of `train.data.patients.RULES`; None is what the data
            suggests.
        hold_out: One of `train.data.medical_folder.HOLD_OUTS`.
        positive: The class that comes last.
    """

    name: ClassVar[str] = "medical"
    summary: ClassVar[str] = (
        "name the finding in a medical picture: DICOM or ordinary files, split by patient"
    )
    data_help: ClassVar[str] = (
        "folder of .dcm or picture files as CLASS/* or {train,val,test}/CLASS/*, with patients.csv "
        "(columns file,patient) where the files do not say whose they are"
    )
    models: ClassVar[tuple[str, ...]] = (TORCHVISION[0], COMPACT, *TORCHVISION[1:])
    options_type: ClassVar[type[Any]] = MedicalOptions

    def __init__(
        self, patients: str | None = None, hold_out: str = "patients", positive: str | None = None
    ) -> None:
        self._patients, self._hold_out, self._positive = patients, hold_out, positive

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `MedicalOptions`."""
        add_image_arguments(parser)
        add_medical_arguments(parser)

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse options that the network or the checkpoint to start from cannot honour."""
        own: MedicalOptions = options.task_options
        for name in ("window", "frame", "channels", "positive"):
            if options.start is not None and getattr(own, name) is not None:
                raise UsageError(f"Options --from and --{name}", got="both", expected="one of them",
                                 fix="The checkpoint says how pictures are fed and read.")  # fmt: skip
        return super().checked(options)

    def defaults(self, given: Mapping[str, Any], task_options: MedicalOptions) -> dict[str, Any]:
        """Small sets: small batches, and a gentle rate where something was learned before."""
        model = given.get("model", self.models[0])
        learned = given.get("start") or task_options.pretrained or task_options.weights
        epochs, lr = (10, 2e-4) if learned else (20, 1e-3)
        return {"model": model, "epochs": epochs, "batch_size": 16, "lr": lr}

    def open_source(self, data: Path) -> MedicalFolder:
        """A folder per class, divided by patient."""
        return MedicalFolder(data, self._patients, self._hold_out, self._positive)

    def fold_rows(self, data: Path, pool: Split, fold: Fold) -> tuple[Array, Array]:
        """Whole patients are held out; with ``neighbours``, neighbouring pictures of every patient."""
        source: Any = self._source(data)
        targets, patients = np.asarray(pool.targets), source.patients_of(pool.items)
        if self._hold_out == "neighbours":
            chosen = neighbour_folds(targets, patients, fold.of)
        else:
            chosen = grouped_folds(targets, patients, fold.of, pool.labels)
        return np.flatnonzero(chosen != fold.at - 1), np.flatnonzero(chosen == fold.at - 1)

    def plan_input(self, source: Any, options: TrainOptions) -> DicomInput:
        """Letterboxed on black: no picture is cut, and none is squeezed."""
        del source  # nothing of the data decides: its files may come in any size and depth
        own: MedicalOptions = options.task_options
        side = own.image_size or (COMPACT_SIZE_PX if options.model == COMPACT else TORCHVISION_SIZE_PX)
        resize = own.resize or "letterbox"
        channels = own.channels or "grey"
        count = 1 if channels == "grey" else 3
        window, centre, width = parse_window(own.window)
        return DicomInput(
            channels=channels,
            size_wh=(side, side),
            resize=resize,
            shortest_px=round(8 / 7 * side) if resize == "shortest" else None,
            filter="bilinear",
            pad_colour=_BLACK,
            alpha_colour=_BLACK,
            scale=1 / 255,
            mean=(0.0,) * count,
            std=(1.0,) * count,
            jpeg_scaling=own.jpeg_scaling or "full",
            views=views_of(own),
            window=window,
            window_centre=centre,
            window_width=width,
            frame=own.frame or "only",
        )

    def plan(self, options: TrainOptions) -> Plan:
        """As for any picture; patients are divided as the options say, or the checkpoint to start from."""
        own: MedicalOptions = options.task_options
        earlier: Mapping[str, Any] = {}
        if options.start is not None:
            start = read_checkpoint(options.start, "--from", self.name)
            earlier = start.manifest.evidence.facts.get(FACT, {})
        patients = own.patients or self._patients or earlier.get("patients")
        hold_out = own.hold_out or earlier.get("hold_out") or self._hold_out
        worker = copy.copy(self)
        worker._patients, worker._hold_out, worker._positive = patients, hold_out, own.positive
        worker._opened = None
        plan = super(MedicalTask, worker).plan(options)
        source: Any = worker._source(options.data)
        facts = {**plan.facts, FACT: {"patients": source.rule, "hold_out": hold_out}}
        if own.temperature == "none":
            facts[FITTED] = None
        return replace(plan, facts=facts)

    def as_trained(self, facts: Mapping[str, Any]) -> MedicalTask:
        """Patients divided as in the checkpoint's run."""
        rules = facts.get(FACT, {})
        return MedicalTask(rules.get("patients"), rules.get("hold_out", "patients"))

    def calibrated(self, plan: Plan, raw_outputs: Callable[[Split], Mapping[str, Array]]) -> Plan:
        """With the temperature that suits the validation split best."""
        from train.temperature import fit_temperature

        if FITTED in plan.facts:
            return plan  # it was to be left alone
        val = plan.splits.val
        fitted = fit_temperature(raw_outputs(val)[SCORES], np.asarray(val.targets))
        output = replace(plan.spec.output, temperature=fitted.temperature)  # type: ignore[type-var]
        facts = {**plan.facts, FITTED: {"split": "val", **fitted.to_json()}}
        return replace(plan, spec=replace(plan.spec, output=output), facts=facts)

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Accuracy; sensitivity, specificity and ROC-AUC: of the last of two classes, of more their mean."""
        rates = rates_by_class(_scores(results), np.asarray(split.targets), split.labels)
        judged = rates[1:] if len(rates) == 2 else rates
        found = {
            "sensitivity": mean_rate([r.sensitivity for r in judged]),
            "specificity": mean_rate([r.specificity for r in judged]),
            "roc_auc": mean_rate([r.auc for r in judged]),
        }
        more = [
            Metric(name, rate.value, rate.low, rate.high, rate.samples, split.name)
            for name, rate in found.items()
            if rate is not None
        ]
        return (*super().measure(results, split), *more)

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Each class against the others with intervals, the confusion matrix, and a reliability diagram."""
        from train.temperature import calibration_error

        plain = super().report(results, split)
        scores, targets = _scores(results), np.asarray(split.targets)
        rates = rates_by_class(scores, targets, split.labels)
        error = calibration_error(scores, targets)
        right = scores.argmax(axis=1) == targets
        title = f"{split.name}: expected calibration error {error:.1%}"
        figures = {
            **plain.figures,
            "rates": [rate.to_dict() for rate in rates],
            "positive": split.labels[-1] if len(split.labels) == 2 else None,
            "calibration_error": error,
        }
        return Report(
            figures=figures,
            columns=("class", "sensitivity", "specificity", "ROC-AUC", "samples"),
            rows=tuple(_row(rate) for rate in rates),
            pictures={
                **plain.pictures,
                "reliability.png": reliability_png(scores.max(axis=1), right, title),
            },
        )


def parse_window(text: str | None) -> tuple[str, float | None, float | None]:
    """Rule, centre and width of ``--window``; None is ``header``.

    Raises:
        UsageError: It is neither a rule nor two numbers.
    """
    if text in (None, "header", "full"):
        return text or "header", None, None
    centre, _, width = str(text).partition("/")
    try:
        numbers = float(centre), float(width)
    except ValueError:
        numbers = (0.0, 0.0)
    require("--window", text, numbers[1] >= 1, "header, full, or CENTRE/WIDTH such as 40/400")
    return "fixed", *numbers


def _scores(results: Sequence[Any]) -> Array:
    return np.stack([result.scores for result in results])


def _row(rate: ClassRates) -> tuple[str, ...]:
    cells = ["–" if value is None else str(value) for value in (rate.sensitivity, rate.specificity, rate.auc)]
    return (rate.label, *cells, f"{rate.samples:,}")

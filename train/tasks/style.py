"""Task ``style``: photos painted in the style of one picture, in one pass of a small network."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, UsageError
from sdk.artifact import Metric
from sdk.spec import Spec
from train.data.photos import CentreSquares, open_photos
from train.metrics import mean_interval
from train.options import TrainOptions, wrong_pair
from train.start import read_checkpoint
from train.style_rules import StyleRules
from train.tasks.base import Report, Split, Splits, Task
from train.tasks.style_arguments import add_style_arguments
from train.tasks.style_options import StyleOptions

if TYPE_CHECKING:
    from train.plan import Plan
    from train.style_losses import StyleJudge, StyleTerms

FACT = "style"
"""What the evidence of a checkpoint calls the rules it was judged by."""
SAME_MEAN = 1 / 255
"""Two pictures agree where they differ by no more than a level in the mean."""
SHOWN = 4
GOLDEN = 3
"""A painted picture is a large answer to keep."""


class StyleTask(Task):
    """One style, learned from photos that are only looked at (Johnson, Alahi and Fei-Fei 2016).

    In a split the items are the photos' centres as squares, and the targets are the photos' files.

    Args:
        rules: What a checkpoint was judged by; None is what the options say.
    """

    name: ClassVar[str] = "style"
    summary: ClassVar[str] = "paint photos in the style of a picture, in one pass of a small network"
    data_help: ClassVar[str] = "folder of photos at any depth, or {train,val,test}/ with photos"
    metric: ClassVar[str] = "perceptual_loss"
    mode: ClassVar[str] = "min"
    models: ClassVar[tuple[str, ...]] = ("style_transfer",)
    options_type: ClassVar[type[Any]] = StyleOptions

    def __init__(self, rules: StyleRules | None = None) -> None:
        self._rules = rules
        self._side = StyleOptions.image_size

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `StyleOptions`."""
        add_style_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: StyleOptions) -> dict[str, Any]:
        """Small batches and plain Adam, as in the paper."""
        del task_options
        started = given.get("start") is not None
        return {
            "model": self.models[0],
            "epochs": 8,
            "batch_size": 4,
            "lr": 5e-4 if started else 2e-3,
            "optimizer": "adam",
            "weight_decay": 0.0,
        }

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse what is missing, and what cannot be honoured."""
        own: StyleOptions = options.task_options
        for name, what in (("style", "a picture"), ("vgg", "VGG-16's weights as .safetensors")):
            if getattr(own, name) is None:
                raise UsageError(f"Option --{name}", got="nothing", expected=what, fix=f"Add --{name} FILE.")
        for name in ("teacher", "qat"):
            if getattr(options, name) is not None:
                raise UsageError(f"Option --{name}", got="it for task 'style'", expected="none",
                                 fix="Leave it out.")  # fmt: skip
        for name in ("width", "blocks", "largest_px", "image_size"):
            if options.start is not None and getattr(own, name) != getattr(StyleOptions, name):
                flag = f"--{name.replace('_', '-')}"
                raise wrong_pair(f"--from and {flag}", "both", "one of them",
                                 "The checkpoint says what its network is and takes.")  # fmt: skip
        return options

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """The middle of each photo of one split; see `Task.load_split`. Squares are made when asked for."""
        folder = open_photos(Path(data))
        photos = folder.read(split)
        side = self._side if spec is None else spec.input.size_wh[0]  # type: ignore[attr-defined]
        return Split(split, CentreSquares(photos, side), photos, (), folder.sha256(photos))

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in open_photos(Path(data)).parts else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """The loss that was trained with, and its parts; nothing where its two files are not here."""
        if self._judge is None:
            return ()
        assert self._rules is not None
        terms = [self._terms(result.pixels, split.items[row]) for row, result in enumerate(results)]
        weights = self._rules.weights
        found = {
            self.metric: [float(one.total(weights)) for one in terms],
            "content_loss": [float(one.content) for one in terms],
            "style_loss": [float(one.style) for one in terms],
            "total_variation": [float(one.smooth) for one in terms],
        }
        return tuple(_mean(name, np.array(values), split.name) for name, values in found.items())

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of pictures that differ by at most `SAME_MEAN` in the mean."""
        apart = [
            float(np.abs(one.pixels.astype(np.int16) - other.pixels).mean()) / 255
            for one, other in zip(results, others, strict=True)
        ]
        return float((np.array(apart) <= SAME_MEAN).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """A few photos above how they were painted."""
        from train.style_report import pairs_png

        rows = list(range(min(SHOWN, len(results))))
        picture = pairs_png([split.items[row] for row in rows], [results[row].pixels for row in rows])
        return Report({}, pictures={"painted.png": picture})

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.style_plan import make_style_plan

        own: StyleOptions = options.task_options
        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        self._side = own.image_size if start is None else start.spec.input.size_wh[0]  # type: ignore[attr-defined]
        self._rules = StyleRules.of(own)
        judge = self._rules.judge()
        self.__dict__["_judge"] = judge
        train, val = (self.load_split(options.data, name) for name in ("train", "val"))
        has_test = "test" in open_photos(options.data).parts
        proof = self.load_split(options.data, "test") if has_test else val
        facts = {FACT: self._rules.to_json()}
        return make_style_plan(
            self.name,
            options,
            Splits(train, val, proof),
            start,
            judge=judge,
            weights=self._rules.weights,
            facts=facts,
        )

    def as_trained(self, facts: Mapping[str, Any]) -> StyleTask:
        """The files and factors of the checkpoint's run."""
        return StyleTask(StyleRules.from_json(facts[FACT])) if FACT in facts else self

    def golden_rows(self, split: Split, count: int) -> list[int]:
        """A few."""
        return super().golden_rows(split, min(count, GOLDEN))

    @cached_property
    def _judge(self) -> StyleJudge | None:
        if self._rules is None or not self._rules.are_here():
            return None
        return self._rules.judge()

    def _terms(self, painted: Array, photo: Array) -> StyleTerms:
        import torch

        from train.style_picture import as_tensor

        assert self._judge is not None
        with torch.inference_mode():
            return self._judge.terms(as_tensor(painted), as_tensor(photo))


def _mean(name: str, values: Array, split: str) -> Metric:
    low, high = mean_interval(values) if len(values) > 1 else (float(values[0]),) * 2
    return Metric(name, float(values.mean()), low, high, len(values), split, unit="", mode="min")

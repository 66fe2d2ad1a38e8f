"""Task ``gan``: new pictures like those of a set, from noise."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array, DataError, UsageError
from sdk.artifact import Metric
from sdk.inputs.image import ImageInput
from sdk.kinds import InputKind
from sdk.results.picture_grid import grid_png
from sdk.spec import Spec
from train.data.labelled_items import LabelledItems, read_part
from train.data.real_pictures import RealPictures, open_pictures, picture_input
from train.options import TrainOptions, flag_of, wrong_pair
from train.tasks.base import Report, Split, Splits, Task
from train.tasks.gan_arguments import add_gan_arguments
from train.tasks.gan_options import FEWEST, SCORED, GanOptions

if TYPE_CHECKING:
    from train.picture_features import FeatureNetwork
    from train.plan import Plan

FACT = "gan"
"""What the evidence of a checkpoint calls the rules it was scored by."""
SAME_MEAN = 1 / 255
"""Two pictures of one seed agree where they differ by no more than a level in the mean."""
GRID = 64
_SEEDS = {"train": 0, "val": 2_000_000_000, "test": 3_000_000_000}
"""First seed of each split: no picture of one is in another."""


class GanTask(Task):
    """Pictures from noise (Goodfellow et al. 2014), judged by the Fréchet distance to real ones.

    In a split the items are seeds, and the targets are real pictures.

    Args:
        rules: What a checkpoint was trained and scored by; None is what the options and the data say.
    """

    name: ClassVar[str] = "gan"
    summary: ClassVar[str] = "draw new pictures like those of a set: Fashion-MNIST, or a folder of pictures"
    data_help: ClassVar[str] = (
        "folder of idx files (Fashion-MNIST), of pictures as CLASS/*.png, or of pictures at any depth; each "
        "with or without {train,val,test}/"
    )
    metric: ClassVar[str] = "frechet"
    mode: ClassVar[str] = "min"
    models: ClassVar[tuple[str, ...]] = ("dcgan",)
    options_type: ClassVar[type[Any]] = GanOptions

    def __init__(self, rules: Mapping[str, Any] | None = None) -> None:
        self._rules = dict(rules or {})
        self._options: GanOptions | None = None
        self._real: dict[str, Array] = {}

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `GanOptions`."""
        add_gan_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: GanOptions) -> dict[str, Any]:
        """Plain Adam at a constant rate, and the average of the generator's weights."""
        del task_options
        return {
            "model": self.models[0],
            "epochs": 12,
            "batch_size": 64,
            "lr": 3e-4,
            "optimizer": "adam",
            "weight_decay": 0.0,
            "scheduler": "none",
            # With --qat, which is refused below, an average would be refused first.
            "ema": None if "qat" in given else 0.999,
        }

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse what cannot be honoured with two networks that learn against each other."""
        for name, why in (
            ("qat", "Leave it out: export with --precision int8 and look at the pictures."),
            ("start", "A checkpoint holds no discriminator: continue a run with --resume."),
            ("teacher", "Leave it out: what is learned from are pictures, not answers."),
        ):
            if getattr(options, name) is not None:
                raise UsageError(f"Option {flag_of(name)}", got="it for task 'gan'", expected="none", fix=why)
        if options.model not in self.models:
            raise UsageError("Option --model", got=repr(options.model), expected=", ".join(self.models),
                             fix="Leave it out.")  # fmt: skip
        if options.scheduler in ("one-cycle", "cyclic"):
            raise UsageError("Option --scheduler", got=f"{options.scheduler} for task 'gan'",
                             expected="none, cosine, exponential, step, plateau or warmup-cosine",
                             fix="Neither player may outrun the other: leave it out.")  # fmt: skip
        clipped = options.clip_norm is not None or options.clip_value is not None
        if options.precision == "16-mixed" and clipped:
            raise wrong_pair("--precision and --clip-norm or --clip-value", "16-mixed with clipping",
                             "one of them", "Use bf16-mixed: its gradients are not scaled.")  # fmt: skip
        if options.batch_size < 2:
            raise UsageError("Option --batch-size", got="1", expected="at least 2", fix="Raise it.")
        return options

    def load_split(self, data: Path, split: str, spec: Spec | None = None) -> Split:
        """Seeds, and as many real pictures; see `Task.load_split`. Only ``train`` has all of them."""
        del spec  # the rules say more
        data = Path(data)
        source = open_pictures(data)
        images = _of_classes(read_part(source, data, split, 1), self._classes, data)
        if split != "train":
            images = images.take(_spread(len(images.items), self._score_samples))
        if len(images.items) < FEWEST:
            raise DataError(
                f"Data {data.name!r}, split {split!r}",
                got=f"{len(images.items)} pictures",
                expected=f"at least {FEWEST}",
                fix="Add pictures, or leave --classes out.",
            )
        real = RealPictures(images.items, self._image_input or picture_input(source))
        first = _SEEDS[split]
        return Split(split, range(first, first + len(real)), real, (), images.sha256())

    def proof_split(self, data: Path) -> str:
        """``test`` where the data has one, else ``val``."""
        return "test" if "test" in open_pictures(Path(data)).splits else "val"

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """The Fréchet distance; nothing where the feature network's file is not here."""
        if self._features is None:
            return ()
        from train.frechet import estimate_distance

        found = self._features.extract([result.pixels for result in results])
        value, low, high = estimate_distance(found, self._real_features(split))
        return (Metric("frechet", value, low, high, len(results), split.name, unit="", mode="min"),)

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of seeds whose two pictures differ by at most `SAME_MEAN` in the mean."""
        apart = [
            np.abs(one.pixels.astype(np.int16) - other.pixels).mean() / 255
            for one, other in zip(results, others, strict=True)
        ]
        return float((np.array(apart) <= SAME_MEAN).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """A grid of generated pictures above one of real ones, and what real pictures would score."""
        from PIL import Image

        shown = [result.image for result in results[:GRID]]
        real = [Image.fromarray(split.targets[row]) for row in range(min(GRID, len(split)))]
        figures: dict[str, Any] = {}
        rows: tuple[tuple[str, ...], ...] = ()
        if self._features is not None:
            floor = self._floor(split)
            figures = {"features": self._features.to_json(), "frechet_of_real_halves": floor}
            rows = (("one half of the real pictures against the other", f"{floor:.4g}"),)
        return Report(
            figures,
            ("for comparison", "frechet"),
            rows,
            {"generated.png": grid_png(shown), "real.png": grid_png(real)},
        )

    def plan(self, options: TrainOptions) -> Plan:
        """Data, both networks and their losses for one run; see `Task.plan`."""
        from train.folds import part_of
        from train.picture_features import open_features
        from train.tasks.gan_plan import make_gan_plan

        own: GanOptions = options.task_options
        source = open_pictures(options.data)
        image_input = picture_input(source, own.image_size, own.resize)
        features = open_features(own.features)
        self._rules = {
            "classes": None if own.classes is None else list(own.classes),
            "pictures": image_input.to_json(),
            "score_samples": own.score_samples,
            "features": features.to_json(),
        }
        self.__dict__["_features"] = features
        train, val = (self.load_split(options.data, name) for name in ("train", "val"))
        # A fold's part for validation may be larger than one that is held out for good.
        if len(val) > own.score_samples:
            val = part_of(val, _spread(len(val), own.score_samples), "val")
        proof = self.load_split(options.data, "test") if "test" in source.splits else val
        return make_gan_plan(self.name, image_input, options, Splits(train, val, proof), {FACT: self._rules})

    def as_trained(self, facts: Mapping[str, Any]) -> GanTask:
        """The classes, sizes and feature network of the checkpoint's run."""
        return GanTask(facts.get(FACT))

    @cached_property
    def _features(self) -> FeatureNetwork | None:
        from train.picture_features import features_again, open_features

        record = self._rules.get("features")
        return open_features(None) if record is None else features_again(record)

    @property
    def _classes(self) -> tuple[str, ...] | None:
        names = self._rules.get("classes")
        return None if names is None else tuple(names)

    @property
    def _score_samples(self) -> int:
        return int(self._rules.get("score_samples", SCORED))

    @property
    def _image_input(self) -> ImageInput | None:
        record = self._rules.get("pictures")
        if record is None:
            return None
        found = InputKind.from_json(record, f"facts.{FACT}.pictures")
        assert isinstance(found, ImageInput)
        return found

    def _real_features(self, split: Split) -> Array:
        """Of the split's real pictures, computed once: float32 (N, D)."""
        assert self._features is not None
        key = f"{split.name} {split.sha256} {len(split)}"
        if key not in self._real:
            self._real[key] = self._features.extract([split.targets[row] for row in range(len(split))])
        return self._real[key]

    def _floor(self, split: Split) -> float:
        """What two sets of real pictures score: with half as many each, somewhat more than all would."""
        from train.frechet import frechet_distance

        real = self._real_features(split)
        return frechet_distance(real[0::2], real[1::2])


def _of_classes(images: LabelledItems, names: tuple[str, ...] | None, data: Path) -> LabelledItems:
    if names is None:
        return images
    for name in names:
        if name not in images.labels:
            raise UsageError(
                f"Option --classes with {data.name!r}",
                got=repr(name),
                expected=f"some of {', '.join(images.labels)}",
                fix="Correct the name.",
            )
    wanted = [images.labels.index(name) for name in names]
    return images.take(np.flatnonzero(np.isin(images.targets, wanted)))


def _spread(count: int, most: int) -> Array:
    """At most so many rows of `count`, evenly spread: int64."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)

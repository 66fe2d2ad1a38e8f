"""Task ``embedding``: pictures as vectors, those of one class close together (metric learning)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from runtimes import Array
from sdk.artifact import Metric
from sdk.spec import Spec
from train.data.labelled_items import ImageSource
from train.data.sources import open_images
from train.metrics import mean_interval, wilson_interval
from train.options import TrainOptions, require, summed, wrong_pair
from train.retrieval import Retrieval, choose_threshold, neighbours, require_pairs, retrieve
from train.retrieval_picture import neighbours_png
from train.start import read_checkpoint
from train.tasks.base import Report, Split, Splits, Task
from train.tasks.image_arguments import add_embedding_arguments
from train.tasks.picture_options import PictureOptions
from train.tasks.product import ProductTask

if TYPE_CHECKING:
    from train.plan import Plan

LOSSES = ("triplet", "centre", "cross-entropy")
SAME_COSINE = 0.99
"""Two vectors of one picture agree from this cosine on: 8 degrees apart."""
_SHOWN_QUERIES, _SHOWN_NEIGHBOURS = 10, 6
_FIGURES = ("label", "recall@1", "mAP@R", "samples")


@dataclass(frozen=True)
class EmbeddingOptions(PictureOptions):
    """Options of metric learning.

    Attributes:
        loss: Names of `LOSSES` with ``+`` between them.
        dimensions: Numbers in a vector.
        margin: By how much pictures of another class shall be farther away, for ``triplet``; as a distance
            of unit vectors, which is 2 at most.
        centre_weight: Factor on ``centre``.
        items_per_class: Least pictures of each class in a batch.
    """

    loss: str = "triplet+cross-entropy"
    dimensions: int = 64
    margin: float = 0.2
    centre_weight: float = 0.1
    items_per_class: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        names = summed("--loss", self.loss, LOSSES)
        if names == ("centre",):
            raise wrong_pair("--loss", "centre alone, which one vector for everything would solve",
                             "it beside triplet or cross-entropy", "Say triplet+centre.")  # fmt: skip
        require("--dimensions", self.dimensions, self.dimensions >= 2, "at least 2")
        require("--margin", self.margin, 0 < self.margin < 2, "between 0 and 2")
        require("--centre-weight", self.centre_weight, self.centre_weight > 0, "a positive number")
        require("--items-per-class", self.items_per_class, self.items_per_class >= 2, "at least 2")


class EmbeddingTask(ProductTask):
    """Pictures of products as vectors: fed like those of task ``product``, compared instead of named.

    A checkpoint knows no classes, and may be measured on and trained further with others than its own.
    """

    name: ClassVar[str] = "embedding"
    summary: ClassVar[str] = "turn pictures into vectors that lie close when they show the same kind of thing"
    metric: ClassVar[str] = "recall@1"
    options_type: ClassVar[type[Any]] = EmbeddingOptions
    held_out_least: ClassVar[int] = 2

    def open_source(self, data: Path) -> ImageSource:
        """Idx files, or a folder per class; parts may have classes of their own."""
        return open_images(data, same_classes=False)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of `EmbeddingOptions`."""
        add_embedding_arguments(parser)

    def defaults(self, given: Mapping[str, Any], task_options: PictureOptions) -> dict[str, Any]:
        """As for naming products, in batches that hold several classes."""
        chosen = super().defaults(given, task_options)
        return {**chosen, "batch_size": max(64, chosen["batch_size"])}

    def checked(self, options: TrainOptions) -> TrainOptions:
        """Refuse what the network cannot honour, and batches in which nothing could be compared."""
        own: EmbeddingOptions = options.task_options
        if options.batch_size < 2 * own.items_per_class:
            raise wrong_pair(
                "--batch-size and --items-per-class", f"{options.batch_size} and {own.items_per_class}",
                "room for two classes in a batch", "Raise --batch-size, or lower --items-per-class.",
            )  # fmt: skip
        if options.start is not None and own.dimensions != EmbeddingOptions.dimensions:
            raise wrong_pair("--from and --dimensions", "both", "one of them",
                             "The checkpoint says how long its vectors are.")  # fmt: skip
        return super().checked(options)

    def search_space(self, options: TrainOptions) -> dict[str, str]:
        """Rate and decay; the margin, where there is one."""
        rates = {name: Task.search_space(self, options)[name] for name in ("lr", "weight_decay")}
        margin = {"margin": "0.1..0.6"} if "triplet" in options.task_options.loss else {}
        return {**rates, **margin}

    def measure(self, results: Sequence[Any], split: Split) -> tuple[Metric, ...]:
        """Recall@1 with its Wilson interval, and mAP@R; see `train.retrieval`."""
        if not len(split.targets):
            return ()
        found = _retrieve(results, split)
        hits, count = int(found.hits.sum()), len(found.rows)
        recall = Metric("recall@1", hits / count, *wilson_interval(hits, count), count, split.name)
        low, high = mean_interval(found.average_precision)
        mean = float(found.average_precision.mean())
        return recall, Metric("mAP@R", mean, low, high, count, split.name)

    def agreement(self, results: Sequence[Any], others: Sequence[Any]) -> float:
        """Share of pictures whose two vectors have a cosine of at least `SAME_COSINE`."""
        cosines = np.einsum("nd,nd->n", _vectors(results), _vectors(others))
        return float((cosines >= SAME_COSINE).mean())

    def report(self, results: Sequence[Any], split: Split) -> Report:
        """Recall@1 and mAP@R per class, a threshold on the cosine, and a picture of who found whom."""
        if not len(split.targets):
            return Report({})
        found, targets = _retrieve(results, split), np.asarray(split.targets)
        vectors = _vectors(results)
        threshold = choose_threshold(vectors, targets)
        rows = _class_figures(found, targets, split.labels)
        queries = _queries(found, targets)
        nearest, cosines = neighbours(vectors, queries, _SHOWN_NEIGHBOURS)
        return Report(
            figures={
                "labels": list(split.labels),
                "classes": [dict(zip(_FIGURES, row, strict=True)) for row in rows],
                "threshold": None if threshold is None else threshold._asdict(),
            },
            columns=("class", *_FIGURES[1:]),
            rows=tuple((label, f"{r:.1%}", f"{m:.1%}", f"{count:,}") for label, r, m, count in rows),
            pictures={"neighbours.png": neighbours_png(split, queries, nearest, cosines)},
        )

    def plan(self, options: TrainOptions) -> Plan:
        """Data, network and loss for one run; see `Task.plan`."""
        from train.tasks.embedding_plan import make_embedding_plan

        start = None if options.start is None else read_checkpoint(options.start, "--from", self.name)
        source = self._source(options.data)
        train, val = (self.load_split(options.data, name) for name in ("train", "val"))
        proof = self.load_split(options.data, "test") if "test" in source.splits else val
        for split in (train, val, proof):
            require_pairs(np.asarray(split.targets), f"Split {split.name!r}")
        image_input = self.plan_input(source, options) if start is None else start.spec.input
        return make_embedding_plan(self.name, image_input, options, Splits(train, val, proof), start)

    def _split(self, source: ImageSource, data: Path, split: str, spec: Spec | None) -> Split:
        del spec  # it knows no classes that the data could contradict
        return super()._split(source, data, split, None)


def _vectors(results: Sequence[Any]) -> Array:
    return np.stack([result.vector for result in results])


def _retrieve(results: Sequence[Any], split: Split) -> Retrieval:
    return retrieve(_vectors(results), np.asarray(split.targets), f"Split {split.name!r}")


def _class_figures(
    found: Retrieval, targets: Array, labels: Sequence[str]
) -> list[tuple[str, float, float, int]]:
    """Name, recall@1, mAP@R and number of look-ups of each class that has any."""
    classes = targets[found.rows]
    return [
        (
            labels[label],
            float(found.hits[classes == label].mean()),
            float(found.average_precision[classes == label].mean()),
            int((classes == label).sum()),
        )
        for label in np.unique(classes)
    ]


def _queries(found: Retrieval, targets: Array) -> Array:
    """Items to show: the first miss of each of some classes, or its first item where all hit."""
    classes = targets[found.rows]
    chosen = np.unique(classes)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(_SHOWN_QUERIES, len(chosen))).astype(int)]
    # A stable sort puts misses in front and keeps the order otherwise.
    order = np.argsort(found.hits, kind="stable")
    return np.array([found.rows[order[classes[order] == label][0]] for label in chosen])

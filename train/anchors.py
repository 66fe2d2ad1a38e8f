"""Anchors: the box shapes that a grid detector starts from, found by clustering the shapes of a data set."""

from __future__ import annotations

import torch
from torch import Tensor

from runtimes import Array, DataError, UsageError

RESTARTS = 8
"""Clusterings from other starts, of which the best is kept: k-means finds only the nearest optimum."""
MAX_ROUNDS = 300
"""Of one clustering; it ends earlier when no shape changes its cluster."""


def kmeans_anchors(sizes_wh: Array, count: int, seed: int) -> Array:
    """Cluster box shapes by ``1 - IoU`` (Redmon & Farhadi 2017, "YOLO9000", section 2).

    Euclidean distance would spend the anchors on large boxes, where errors are large in pixels. Each centre
    is the mean shape of its cluster.

    Args:
        sizes_wh: float (n, 2) width and height of every box, in pixels of the network's input.
        count: Number of anchors.
        seed: Of the starts; the same seed gives the same anchors.

    Returns:
        float32 (count, 2), smallest area first.

    Raises:
        DataError: There are fewer different shapes than anchors.
        ValueError: A shape without an area.
    """
    sizes = torch.from_numpy(sizes_wh).to(torch.float64).reshape(-1, 2)
    if (sizes <= 0).any():
        raise ValueError("a box without an area")
    distinct = len(sizes.unique(dim=0))
    if not 1 <= count <= distinct:
        raise DataError(
            "Anchors",
            got=f"{distinct} different box shapes",
            expected=f"at least {max(count, 1)}, as many as anchors",
            fix="Use more labelled pictures, or keep the anchors of the checkpoint.",
        )
    generator = torch.Generator().manual_seed(seed)
    found = [_cluster(sizes, count, generator) for _ in range(RESTARTS)]
    best = max(found, key=lambda anchors: float(_best_iou(sizes, anchors).mean()))
    ordered = best[best.prod(dim=1).argsort(stable=True)]
    anchors: Array = ordered.to(torch.float32).numpy()
    return anchors


def mean_best_iou(sizes_wh: Array, anchors_wh: Array) -> float:
    """How well anchors fit: the overlap of each shape (n, 2) with its likest anchor (k, 2), averaged."""
    sizes = torch.from_numpy(sizes_wh).to(torch.float64)
    return float(_best_iou(sizes, torch.from_numpy(anchors_wh).to(torch.float64)).mean())


def anchors_by_map(anchors_wh: Array, maps: int) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Anchors as a spec lists them: per map, coarsest first, so the largest come first.

    Args:
        anchors_wh: float (k, 2), smallest area first.
        maps: How many maps share them.

    Raises:
        UsageError: They cannot be shared out evenly: every map has as many channels per cell.
    """
    if len(anchors_wh) == 0 or len(anchors_wh) % maps:
        raise UsageError(
            "Anchors",
            got=f"{len(anchors_wh)}",
            expected=f"a multiple of {maps}, the number of the network's maps",
            fix=f"Give {maps} anchors, or {3 * maps}.",
        )
    each = len(anchors_wh) // maps
    pairs = [(float(width), float(height)) for width, height in anchors_wh]
    return tuple(tuple(pairs[at : at + each]) for at in range(len(pairs) - each, -1, -each))


def shape_iou(sizes_wh: Tensor, others_wh: Tensor) -> Tensor:
    """Intersection over union of boxes that share their centre: (n, 2) and (k, 2) to (n, k)."""
    common = torch.minimum(sizes_wh[:, None], others_wh[None]).prod(dim=2)
    return common / (sizes_wh.prod(dim=1)[:, None] + others_wh.prod(dim=1)[None] - common)


def _best_iou(sizes_wh: Tensor, anchors_wh: Tensor) -> Tensor:
    return shape_iou(sizes_wh, anchors_wh).amax(dim=1)


def _cluster(sizes: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """One k-means, float64 (count, 2); its starts lie far apart (k-means++, Arthur & Vassilvitskii 2007)."""
    centres = sizes[torch.randint(len(sizes), (1,), generator=generator)]
    while len(centres) < count:
        distance = (1 - _best_iou(sizes, centres)).clamp(min=0) ** 2
        drawn = torch.multinomial(distance, 1, generator=generator)
        centres = torch.cat((centres, sizes[drawn]))
    assigned = torch.full((len(sizes),), -1)
    for _ in range(MAX_ROUNDS):
        nearest = shape_iou(sizes, centres).argmax(dim=1)
        if torch.equal(nearest, assigned):
            break
        assigned = nearest
        # A cluster that lost all its shapes keeps its centre.
        centres = torch.stack(
            [
                sizes[nearest == at].mean(dim=0) if (nearest == at).any() else centres[at]
                for at in range(count)
            ]
        )
    return centres

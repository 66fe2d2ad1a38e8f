"""Learned weights for detectors: a checkpoint or a plain state dict, its head made over for other classes."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from sdk.artifact import Artifact, read_artifact, safetensors_file
from train.networks.pretrained import load_weights, read_state

BOX_VALUES = 5
"""Of an anchor before its classes: x, y, width, height, objectness."""
HEADS = ("head.", "roi_heads.box_predictor.")
"""Tensors that depend on the classes: of YOLOv3, and of Faster R-CNN."""


def checkpoint_or_none(path: Path) -> Artifact | None:
    """The checkpoint at `path`; None where it is a plain state dict, or is not there.

    Raises:
        ArtifactError: A damaged file.
        SpecError: A checkpoint of another version.
    """
    if not path.is_file() or path.suffix != ".safetensors":
        return None
    plain = safetensors_file.split(path.read_bytes(), path.name) is None
    return None if plain else read_artifact(path)


def load_detector_weights(network: nn.Module, path: Path) -> None:
    """Load weights whose head may be for other classes.

    Of a YOLOv3 with as many anchors, what the head says of a box and of whether there is an object is kept:
    only the classes start afresh.

    Raises:
        UsageError: The file cannot be read, or does not fit the network.
    """
    state, wanted = read_state(path), network.state_dict()
    head = {name for name in wanted if name.startswith(HEADS)}
    anchors = getattr(network, "anchors", None)
    if isinstance(anchors, int):
        for name in head & set(state):
            state[name] = _with_classes_of(wanted[name], state[name], anchors)
    load_weights(network, state, path.name, head)


def _with_classes_of(fresh: Tensor, learned: Tensor, anchors: int) -> Tensor:
    """A head tensor for the classes of `fresh` with the other values of `learned`; rows are channels."""
    rows = fresh.shape[0] // anchors
    old = learned.shape[0] // anchors
    fits = learned.shape[0] == old * anchors and learned.shape[1:] == fresh.shape[1:] and old > BOX_VALUES
    if old == rows or not fits:
        return learned
    made = fresh.clone().unflatten(0, (anchors, rows))
    made[:, :BOX_VALUES] = learned.unflatten(0, (anchors, old))[:, :BOX_VALUES]
    return made.flatten(0, 1)

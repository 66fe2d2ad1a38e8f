"""From Darknet's configuration, weights and names to a checkpoint that carries its contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from runtimes import UsageError
from sdk.artifact import IMPORTED, MANIFEST_VERSION, Artifact, Evidence, Manifest, write_artifact
from sdk.artifact.provenance import now_utc, versions_of
from sdk.golden import make_golden_samples
from sdk.spec import Network, Spec
from train.batches import outputs_of_items
from train.callbacks import weights_bytes
from train.data.yolo_text import read_names
from train.finish import TOLERANCE
from train.networks.darknet_config import DarknetModel, read_config, sides_or_error
from train.networks.darknet_weights import load_weights
from train.yolo_spec import DEFAULT_SCORE, yolo_input, yolo_output, yolo_spec

GOLDEN_SAMPLES = 4
_PACKAGES = ("edgewright", "torch", "numpy", "pillow")


def import_darknet(
    config: Path,
    weights: Path,
    labels: Path,
    out: Path,
    *,
    size_wh: tuple[int, int] | None = None,
    score_threshold: float = DEFAULT_SCORE,
    pictures: Sequence[Path] = (),
    overwrite: bool = False,
) -> Artifact:
    """Write the checkpoint.

    Args:
        config: The ``.cfg``.
        weights: The ``.weights`` that belong to it.
        labels: A text file with the name of a class in each line.
        out: The checkpoint, ``.safetensors``.
        size_wh: Another size of the network's input than the configuration's.
        score_threshold: Lowest score of a box in a result.
        pictures: Some to keep in the checkpoint with the network's answers, for `verify`; drawn ones where
            there are none.
        overwrite: Replace a checkpoint that is there.

    Raises:
        UsageError: A file cannot be read, or does not fit the others; or `out` is there already.
        DataError: The labels cannot be read.
        InputError: A picture cannot be read.
    """
    _check_out(out, overwrite)
    model = read_config(config)
    if size_wh is not None:
        model = replace(model, size_wh=sides_or_error("Option --size", size_wh))
    names = _names(labels, model.classes)
    network = model.build().eval()
    load_weights(network, weights)
    spec = _spec(out.stem, model, names, network, score_threshold)
    items: list[Any] = list(pictures)[:GOLDEN_SAMPLES] or _drawn_pictures(model.size_wh)
    samples = make_golden_samples(spec, items, lambda encoded: outputs_of_items(network, spec, encoded))
    evidence = _evidence(model, network, config, weights)
    manifest = Manifest(MANIFEST_VERSION, spec, samples, evidence, payload_sha256="")
    return write_artifact(out, weights_bytes(network), manifest)


def _spec(
    name: str, model: DarknetModel, names: tuple[str, ...], network: nn.Module, score_threshold: float
) -> Spec:
    output = yolo_output(names, model.anchors_wh, network.strides, score_threshold)
    return yolo_spec(name, Network(model.name, dict(model.arguments)), yolo_input(model.size_wh), output)


def _evidence(model: DarknetModel, network: nn.Module, config: Path, weights: Path) -> Evidence:
    facts = {
        "model": model.name,
        "imported": {
            "from": "darknet",
            "config": config.name,
            "weights": weights.name,
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
    }
    count = sum(parameter.numel() for parameter in network.parameters())
    return Evidence(
        status=IMPORTED,
        created_utc=now_utc(),
        parent_sha256=None,
        precision={"requested": "fp32", "weights": {"float32": count}},
        tolerance=TOLERANCE,
        parity=None,
        metrics=(),
        tools=versions_of(_PACKAGES),
        facts=facts,
    )


def _names(path: Path, classes: int) -> tuple[str, ...]:
    """The names of the classes.

    Raises:
        DataError: The file cannot be read, or names a class twice.
        UsageError: It has more or fewer of them.
    """
    names = read_names(path)
    if len(names) != classes:
        raise UsageError(
            f"Labels {path.name!r}",
            got=f"{len(names)} names",
            expected=f"{classes}, one per class of the network",
            fix="Choose the .names that belongs to the weights.",
        )
    return names


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix != ".safetensors":
        raise UsageError(
            "Option --out", got=repr(out.name), expected="a name ending in .safetensors", fix="Rename it."
        )
    if out.exists() and not overwrite:
        raise UsageError(
            f"Output {out.name!r}",
            got="a file that is there already",
            expected="a new name",
            fix="Say --overwrite, or choose another --out.",
        )


def _drawn_pictures(size_wh: tuple[int, int]) -> list[Image.Image]:
    """Smooth random colours: `verify` is to see that numbers are right, which needs no objects."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (GOLDEN_SAMPLES, 6, 8, 3), dtype=np.uint8)
    return [Image.fromarray(each).resize(size_wh, Image.Resampling.BICUBIC) for each in coarse]

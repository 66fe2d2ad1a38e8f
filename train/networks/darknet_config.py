"""Darknet's configuration files: a list of sections, held against the networks that are known here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from runtimes import UsageError
from train.networks.yolov3 import yolov3, yolov3_tiny

BUILDERS = {"yolov3": yolov3, "yolov3_tiny": yolov3_tiny}
_BY_SCALES = {2: "yolov3_tiny", 3: "yolov3"}
_DEFAULTS = {
    "batch_normalize": "0",
    "filters": "1",
    "size": "1",
    "stride": "1",
    "activation": "logistic",
    "groups": "1",
    "pad": "0",
}
"""What Darknet takes for a key that a section leaves out."""
_STRIDE = 32
"""Of the coarsest map: the sides of the picture are multiples of it."""

Section = tuple[str, dict[str, str]]
Anchors = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class DarknetModel:
    """What a configuration describes.

    Attributes:
        name: The builder's, a key of `BUILDERS`.
        classes: Number of object classes.
        anchors_wh: Width and height of each anchor in pixels of the network's input, per map, coarsest first.
        size_wh: The picture that the network takes, in pixels.
    """

    name: str
    classes: int
    anchors_wh: tuple[Anchors, ...]
    size_wh: tuple[int, int]

    @property
    def arguments(self) -> dict[str, int]:
        """What the builder takes."""
        return {"classes": self.classes, "anchors": len(self.anchors_wh[0])}

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return BUILDERS[self.name](**self.arguments)


def read_config(path: Path) -> DarknetModel:
    """Read a configuration of YOLOv3 or YOLOv3-tiny, for any classes, anchors and size.

    Raises:
        UsageError: It cannot be read, contradicts itself, or describes another network.
    """
    net, *sections = _parse(path)
    if net[0] not in {"net", "network"}:
        raise _wrong(path, f"[{net[0]}] first", "[net]", "Choose the .cfg that belongs to the weights.")
    heads = [number for number, (kind, _) in enumerate(sections) if kind == "yolo"]
    if len(heads) not in _BY_SCALES:
        raise _wrong(
            path,
            f"{len(heads)} [yolo] sections",
            "3 (YOLOv3) or 2 (YOLOv3-tiny)",
            "Other networks cannot be imported.",
        )
    scales = [_scale(path, number, sections) for number in heads]
    classes, counts = {classes for classes, _ in scales}, {len(anchors) for _, anchors in scales}
    if len(classes) != 1 or len(counts) != 1:
        raise _wrong(
            path,
            f"{sorted(classes)} classes and {sorted(counts)} anchors",
            "one number of each in all [yolo] sections",
            "Correct classes= and mask=.",
        )
    anchors_wh = tuple(anchors for _, anchors in scales)
    sides = [_integers(path, -1, net[1], key, "416")[0] for key in ("width", "height")]
    size_wh = sides_or_error(f"Configuration {path.name!r}", (sides[0], sides[1]))
    model = DarknetModel(_BY_SCALES[len(heads)], classes.pop(), anchors_wh, size_wh)
    _compare(path, sections, model)
    return model


def _scale(path: Path, number: int, sections: list[Section]) -> tuple[int, Anchors]:
    """Classes and anchors of the [yolo] section with this number, held against the channels before it."""
    values = sections[number][1]
    classes = _integers(path, number, values, "classes", "20")[0]
    sizes = _integers(path, number, values, "anchors", "")
    pairs = list(zip(sizes[::2], sizes[1::2], strict=False))
    mask = _integers(path, number, values, "mask", ",".join(str(at) for at in range(len(pairs))))
    if (
        not mask
        or len(sizes) % 2
        or min(sizes, default=0) < 1
        or not 0 <= min(mask) <= max(mask) < len(pairs)
    ):
        raise _wrong(
            path,
            f"mask={values.get('mask')} of {len(sizes)} anchor numbers in section {number} [yolo]",
            "pairs of width and height above 0, and a mask that counts them from 0",
            "Correct anchors= and mask=.",
        )
    channels = _integers(path, number - 1, sections[number - 1][1], "filters", "1")[0] if number else 0
    if classes < 1 or channels != len(mask) * (5 + classes):
        raise _wrong(
            path,
            f"{channels} channels before section {number} [yolo]",
            f"{len(mask) * (5 + classes)}: {len(mask)} anchors of 5 + {classes} channels",
            "Correct filters=, mask= or classes=.",
        )
    return classes, tuple((float(pairs[at][0]), float(pairs[at][1])) for at in mask)


def sides_or_error(subject: str, size_wh: tuple[int, int]) -> tuple[int, int]:
    """The size, if the coarsest map divides it evenly.

    Raises:
        UsageError: It does not.
    """
    if min(size_wh) < _STRIDE or any(side % _STRIDE for side in size_wh):
        raise UsageError(
            subject,
            got=f"{size_wh[0]}x{size_wh[1]} pixels",
            expected=f"multiples of {_STRIDE}",
            fix="Choose another size, such as 416x416.",
        )
    return size_wh


def _compare(path: Path, sections: list[Section], model: DarknetModel) -> None:
    """Raise where a section is not what the network has in its place."""
    with torch.device("meta"):
        wanted = model.build().darknet_sections()
    if len(sections) != len(wanted):
        raise _wrong(
            path,
            f"{len(sections)} sections",
            f"{len(wanted)}, those of {model.name}",
            "Other networks cannot be imported.",
        )
    for number, (kind, values) in enumerate(sections):
        expected = {key: _text(value) for key, value in wanted[number].values.items()}
        found = _normalised(path, number, kind, values)
        differs = {key: found.get(key, "") for key in expected if found.get(key, "") != expected[key]}
        if kind != wanted[number].kind or differs:
            told = ", ".join(f"{key}={expected[key]}" for key in differs)
            raise _wrong(
                path,
                f"section {number} [{kind}] {', '.join(f'{k}={v}' for k, v in differs.items())}",
                f"[{wanted[number].kind}] {told} as in {model.name}",
                "Other networks cannot be imported.",
            )


def _normalised(path: Path, number: int, kind: str, values: dict[str, str]) -> dict[str, str]:
    """A section's values with Darknet's defaults; layers of a route count from the first section."""
    found = {**_DEFAULTS, **values} if kind == "convolutional" else dict(values)
    if kind == "convolutional" and found["size"] != "1" and found["pad"] == "0":
        found["size"] += " without pad"
    if kind in {"maxpool", "upsample"}:
        found.setdefault("stride", "1" if kind == "maxpool" else "2")
    if kind == "maxpool":
        found.setdefault("size", found["stride"])
    if kind == "route":
        layers = _integers(path, number, values, "layers", "")
        found["layers"] = _text([at if at >= 0 else number + at for at in layers])
    if kind == "shortcut":
        at = _integers(path, number, values, "from", "0")[0]
        found["from"] = str(at if at < 0 else at - number)
    return found


def _text(value: object) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _integers(path: Path, number: int, values: dict[str, str], key: str, default: str) -> list[int]:
    text = values.get(key, default)
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError as error:
        where = f" in section {number}" if number >= 0 else ""
        raise _wrong(path, f"{key}={text[:40]}{where}", "whole numbers", "Correct the .cfg.") from error


def _parse(path: Path) -> list[Section]:
    """The sections in order, each with its keys. Comments start with ``#`` or ``;``."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    sections: list[Section] = []
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].split(";")[0].strip()
        if text.startswith("[") and text.endswith("]"):
            sections.append((text[1:-1].strip(), {}))
        elif text:
            key, equals, value = text.partition("=")
            if not equals or not sections:
                raise _wrong(
                    path,
                    f"{text[:40]!r} in line {number}",
                    "[section] or key=value",
                    "Choose a .cfg of Darknet.",
                )
            sections[-1][1][key.strip()] = value.strip()
    if not sections:
        raise _wrong(path, "no sections", "those of a network", "Choose a .cfg of Darknet.")
    return sections


def _unreadable(path: Path, error: Exception) -> UsageError:
    got = error.strerror or str(error) if isinstance(error, OSError) else "bytes that are not text"
    return _wrong(path, got, "a readable .cfg of Darknet", "Check the path.")


def _wrong(path: Path, got: str, expected: str, fix: str) -> UsageError:
    return UsageError(f"Configuration {path.name!r}", got=got, expected=expected, fix=fix)

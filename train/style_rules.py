"""What pictures of task ``style`` are judged by: a style picture, VGG-16, and three factors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes import UsageError
from runtimes.errors import first_line

if TYPE_CHECKING:
    from train.style_losses import StyleJudge, StyleWeights
    from train.tasks.style_options import StyleOptions


@dataclass(frozen=True)
class KnownFile:
    """A file, and what was in it."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path, option: str) -> KnownFile:
        """A file as it is now.

        Raises:
            UsageError: It cannot be read.
        """
        try:
            return cls(path.resolve(), hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError as error:
            raise UsageError(
                f"Option {option} {path.name!r}",
                got=first_line(error),
                expected="a file that can be read",
                fix="Check the path.",
            ) from error

    def is_here(self) -> bool:
        """Whether the file is still there, with the same content."""
        if not self.path.is_file():
            return False
        return hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256


@dataclass(frozen=True)
class StyleRules:
    """How well a picture is painted is measured by these.

    Attributes:
        style: The style picture.
        vgg: VGG-16's weights.
        style_size: What the style picture's shorter side is resized to.
        content: Factor of the content term.
        painted: Factor of the style term.
        smooth: Factor of total variation.
    """

    style: KnownFile
    vgg: KnownFile
    style_size: int
    content: float
    painted: float
    smooth: float

    @classmethod
    def of(cls, options: StyleOptions) -> StyleRules:
        """Those of a run.

        Raises:
            UsageError: A file cannot be read.
        """
        assert options.style is not None
        assert options.vgg is not None
        return cls(
            KnownFile.of(options.style, "--style"),
            KnownFile.of(options.vgg, "--vgg"),
            options.style_size,
            options.content_weight,
            options.style_weight,
            options.smooth_weight,
        )

    def to_json(self) -> dict[str, Any]:
        """For the evidence of a checkpoint."""
        return {
            "style": {"path": str(self.style.path), "sha256": self.style.sha256},
            "vgg": {"path": str(self.vgg.path), "sha256": self.vgg.sha256},
            "style_size": self.style_size,
            "weights": {"content": self.content, "style": self.painted, "smooth": self.smooth},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StyleRules:
        """Read what `to_json` gave."""
        style, vgg = (KnownFile(Path(data[k]["path"]), data[k]["sha256"]) for k in ("style", "vgg"))
        weights = data["weights"]
        return cls(style, vgg, data["style_size"], weights["content"], weights["style"], weights["smooth"])

    @property
    def weights(self) -> StyleWeights:
        """The three factors."""
        from train.style_losses import StyleWeights

        return StyleWeights(self.content, self.painted, self.smooth)

    def are_here(self) -> bool:
        """Whether both files are here, unchanged."""
        return self.style.is_here() and self.vgg.is_here()

    def judge(self) -> StyleJudge:
        """What compares pictures by these rules.

        Raises:
            DataError: The style picture cannot be read.
            UsageError: It is too small, or the other file holds no VGG-16.
        """
        from train.style_losses import StyleJudge
        from train.style_picture import load_style
        from train.vgg_features import load_vgg

        style = load_style(self.style.path, self.style_size)
        return StyleJudge(load_vgg(self.vgg.path), style)

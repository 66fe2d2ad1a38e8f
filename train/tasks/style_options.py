"""What a run of task ``style`` is told beside the general options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from train.networks.style_sizes import DEFAULT_BLOCKS, DEFAULT_WIDTH, MULTIPLE_PX, SMALLEST_PX
from train.options import require

LARGEST_PX = 2048


@dataclass(frozen=True)
class StyleOptions:
    """Options of the task.

    Attributes:
        style: The picture whose style is learned.
        vgg: VGG-16's weights; see `train.vgg_features.load_vgg`.
        style_size: What the style picture's shorter side is resized to, in pixels: how large its strokes are.
        content_weight: Factor of what the picture shows.
        style_weight: Factor of how it is painted.
        smooth_weight: Factor of total variation.
        crop_size: Side of training crops in pixels.
        crops: Training crops per epoch.
        image_size: Side in pixels of the squares that epochs are judged on, and of pictures in artifacts for
            engines that need a fixed size.
        largest_px: Longer pictures are shrunk to it.
        width: Channels of the network at a picture's full size.
        blocks: Its residual blocks.
    """

    style: Path | None = None
    vgg: Path | None = None
    style_size: int = 256
    content_weight: float = 1.0
    style_weight: float = 10.0
    smooth_weight: float = 5.0
    crop_size: int = 256
    crops: int = 2000
    image_size: int = 256
    largest_px: int = LARGEST_PX
    width: int = DEFAULT_WIDTH
    blocks: int = DEFAULT_BLOCKS

    def __post_init__(self) -> None:
        for name, least in (("style_size", SMALLEST_PX), ("crop_size", SMALLEST_PX), ("crops", 1),
                            ("image_size", SMALLEST_PX), ("width", 1), ("blocks", 1),
                            ("largest_px", self.image_size)):  # fmt: skip
            value = getattr(self, name)
            require(f"--{name.replace('_', '-')}", value, value >= least, f"at least {least}")
        for name in ("crop_size", "image_size", "largest_px"):
            value = getattr(self, name)
            whole = value % MULTIPLE_PX == 0
            require(f"--{name.replace('_', '-')}", value, whole, f"a multiple of {MULTIPLE_PX}")
        for name in ("content_weight", "style_weight", "smooth_weight"):
            value = getattr(self, name)
            require(f"--{name.replace('_', '-')}", value, value >= 0, "at least 0")
        both = self.content_weight > 0 and self.style_weight > 0
        require("--content-weight and --style-weight", f"{self.content_weight:g} and {self.style_weight:g}",
                both, "more than 0 both")  # fmt: skip

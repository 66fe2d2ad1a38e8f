"""Torchvision's segmentation networks with our classes, our number of channels, and a tensor as the answer.

Tensor names are torchvision's own, so that its weight files fit.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import segmentation

from train.networks.torchvision_networks import COLOUR_CHANNELS, replace_first_convolution
from train.networks.unet import enlarged

SEGMENTATION_HEADS = {
    "lraspp_mobilenet_v3_large": ("classifier.low_classifier", "classifier.high_classifier"),
    "deeplabv3_mobilenet_v3_large": ("classifier.4",),
}
"""The layers of each network that depend on the classes."""
AUXILIARY = "aux_classifier."
"""Where torchvision's tensors of the auxiliary classifier begin."""


def lraspp_mobilenet_v3_large(channels: int, classes: int) -> nn.Module:
    """Howard et al. 2019, "Searching for MobileNetV3", section 6.4: made for phones.

    Takes float32 (N, channels, H, W), gives logits (N, classes, H, W).
    """
    return _build("lraspp_mobilenet_v3_large", segmentation.lraspp_mobilenet_v3_large, channels, classes)


def deeplabv3_mobilenet_v3_large(channels: int, classes: int) -> nn.Module:
    """Chen et al. 2017, "Rethinking Atrous Convolution", on MobileNetV3: finer, and several times slower.

    Takes float32 (N, channels, H, W), gives logits (N, classes, H, W).
    """
    return _build(
        "deeplabv3_mobilenet_v3_large", segmentation.deeplabv3_mobilenet_v3_large, channels, classes
    )


class SegmentationNetwork(nn.Module):
    """A backbone and a classifier of torchvision's; the auxiliary classifier is left out.

    Attributes:
        heads: Names of the layers that depend on the classes.
    """

    def __init__(self, network: nn.Module, heads: tuple[str, ...]) -> None:
        super().__init__()
        self.heads = heads
        self.backbone = network.backbone
        self.classifier = network.classifier

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised pictures (N, C, H, W)."""
        features = self.backbone(image)
        # LR-ASPP reads two depths of the backbone, DeepLab one.
        maps = self.classifier(features.get("out", features))
        return enlarged(maps, image)


def _build(name: str, make: Callable[..., nn.Module], channels: int, classes: int) -> nn.Module:
    if channels < 1 or classes < 2:
        raise ValueError(f"channels {channels}, classes {classes}")
    network = make(weights=None, weights_backbone=None, num_classes=classes)
    if channels != COLOUR_CHANNELS:
        replace_first_convolution(network, channels)
    return SegmentationNetwork(network, SEGMENTATION_HEADS[name])

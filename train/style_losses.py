"""What makes a picture show one thing in the style of another: content, style and smoothness.

Gatys, Ecker and Bethge (2016), "Image style transfer using convolutional neural networks"; Johnson, Alahi and
Fei-Fei (2016), "Perceptual losses for real-time style transfer and super-resolution". Content and style are
divided by the size of what they are compared with, so that weights mean the same at every layer and with
every file of VGG weights: 1 is as far off as a picture without any features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from train.vgg_features import VggFeatures

CONTENT_LAYER = "relu3_3"
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_TINY = 1e-12


@dataclass(frozen=True)
class StyleWeights:
    """Factors of the three terms."""

    content: float
    style: float
    smooth: float


@dataclass(frozen=True)
class StyleTerms:
    """The three terms of each picture: float32 (N,) each, before their factors."""

    content: Tensor
    style: Tensor
    smooth: Tensor

    def total(self, weights: StyleWeights) -> Tensor:
        """Their weighted sum (N,)."""
        return weights.content * self.content + weights.style * self.style + weights.smooth * self.smooth


def gram(features: Tensor) -> Tensor:
    """How often each two features occur at one place: (N, C, C), the mean over places and channels.

    Args:
        features: (N, C, h, w).
    """
    count, channels, height, width = features.shape
    flat = features.reshape(count, channels, height * width)
    return flat @ flat.transpose(1, 2) / (channels * height * width)


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighbours, down and to the right: (N,) of pictures (N, C, H, W)."""
    down = pictures[:, :, 1:] - pictures[:, :, :-1]
    right = pictures[:, :, :, 1:] - pictures[:, :, :, :-1]
    return _square_mean(down) + _square_mean(right)


class StyleJudge:
    """Compares pictures with what they shall show and with one style.

    Not a module: the weights of VGG belong to no checkpoint.

    Args:
        features: Sees.
        style: float32 (1, 3, H, W) RGB, 0..1.
    """

    def __init__(self, features: VggFeatures, style: Tensor) -> None:
        self._features = features
        with torch.no_grad():
            self._grams = self._grams_of(features(style, STYLE_LAYERS))

    def terms(self, painted: Tensor, content: Tensor) -> StyleTerms:
        """Compare.

        Args:
            painted: float32 (N, 3, H, W) RGB, 0..1; gradients flow into it.
            content: What it shall show, likewise.
        """
        with torch.no_grad():
            wanted = self.content_of(content)
        return self.terms_of(painted, wanted)

    def content_of(self, pictures: Tensor) -> Tensor:
        """The feature map that content is compared on."""
        return self._to(pictures.device)(pictures, (CONTENT_LAYER,))[CONTENT_LAYER]

    def terms_of(self, painted: Tensor, wanted: Tensor) -> StyleTerms:
        """As `terms`, with the `content_of` what shall be shown."""
        found = self._to(painted.device)(painted, (*STYLE_LAYERS, CONTENT_LAYER))
        content = _square_mean(found[CONTENT_LAYER] - wanted) / (_square_mean(wanted) + _TINY)
        style = torch.zeros_like(content)
        for name, own in self._grams_of(found).items():
            target = self._grams[name].to(own.device)
            style = style + _square_mean(own - target) / (_square_mean(target) + _TINY)
        return StyleTerms(content, style / len(STYLE_LAYERS), total_variation(painted))

    def _to(self, device: torch.device) -> VggFeatures:
        if self._features.mean.device != device:
            self._features.to(device)
        return self._features

    @staticmethod
    def _grams_of(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: gram(found[name]) for name in STYLE_LAYERS}


def _square_mean(values: Tensor) -> Tensor:
    """Over all but the first axis."""
    return (values * values).flatten(1).mean(dim=1)

"""Bake what is done to a painted picture: rounding to levels, clamping, and the cast to 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from runtimes import TensorInfo
from sdk.outputs.picture import PICTURE, WHITE, PictureOutput
from sdk.spec import Spec


class PictureHead(nn.Module):
    """float32 (N, C, h, w), 0..1, to uint8 (N, h, w, C), by the formula of `sdk.outputs.picture.to_uint8`."""

    def forward(self, picture: Tensor) -> Tensor:
        """Convert one batch."""
        levels = torch.clamp(torch.round(picture * float(WHITE)), 0.0, float(WHITE))
        # The cast comes last: TensorRT has no transpose of uint8.
        return levels.permute(0, 2, 3, 1).contiguous().to(torch.uint8)


def bake_output(spec: Spec) -> tuple[nn.Module, tuple[TensorInfo, ...]]:
    """The conversion as a module, and the graph's output in 8 bits with its channels last."""
    assert isinstance(spec.output, PictureOutput)
    (picture,) = spec.graph().outputs
    batch, channels, height, width = picture.shape
    return PictureHead(), (TensorInfo(PICTURE, "uint8", (batch, height, width, channels)),)

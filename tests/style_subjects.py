"""Photos, a style and VGG weights for tests of style transfer: small, by rule, and quick to make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from train.vgg_features import LAYERS

_CHANNELS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256),
             14: (256, 256), 17: (256, 512), 19: (512, 512), 21: (512, 512)}  # fmt: skip


def write_vgg(path: Path, prefix: str = "features.", metadata: dict[str, str] | None = None) -> Path:
    """VGG-16's convolutions with random weights that keep the size of what goes through them."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for place in LAYERS.values():
        channels, out = _CHANNELS[place]
        weight = torch.randn((out, channels, 3, 3), generator=generator) * (2 / (9 * channels)) ** 0.5
        tensors[f"{prefix}{place}.weight"] = weight.half()
        tensors[f"{prefix}{place}.bias"] = torch.zeros(out).half()
    save_file(tensors, path, metadata)
    return path


def write_photos(folder: Path, count: int = 4) -> Path:
    """Pictures of several sizes with gradients and a bright square."""
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        height, width = 40 + 4 * at, 48
        y, x = np.mgrid[:height, :width]
        picture = np.stack([x * 5, y * 4, (x + y + 40 * at) % 256], axis=-1).clip(0, 255).astype(np.uint8)
        picture[10:20, 10 + at : 22 + at] = 250
        Image.fromarray(picture).save(folder / f"photo{at}.png")
    return folder


def write_style(path: Path, side_px: int = 32) -> Path:
    """Stripes."""
    y, x = np.mgrid[:side_px, :side_px]
    stripes = np.where((x + y) % 8 < 4, 230, 20).astype(np.uint8)
    Image.fromarray(np.stack([stripes, stripes // 2, 255 - stripes], axis=-1)).save(path)
    return path

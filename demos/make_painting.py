"""Paint a picture by rule: brush strokes along whirls, in blues and yellows, for trying style transfer on.

Usage: python -m demos.make_painting OUT.png [--size PX] [--seed N]
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from runtimes import Array

SIZE_PX, SEED = 512, 0
_WHIRLS, _LAYERS, _STEPS = 5, 4, 14
# From the dark of the night to its lights.
_PALETTE = ((16, 24, 72), (28, 52, 120), (46, 92, 158), (92, 146, 190), (236, 196, 72), (250, 228, 140))


def paint(size_px: int = SIZE_PX, seed: int = SEED) -> Image.Image:
    """The picture: RGB, square, the same for the same seed."""
    generator = np.random.default_rng(seed)
    centres = generator.uniform(0.1, 0.9, (_WHIRLS, 2)) * size_px
    turns = generator.choice([-1.0, 1.0], _WHIRLS)
    canvas = Image.new("RGB", (size_px, size_px), _PALETTE[0])
    draw = ImageDraw.Draw(canvas)
    for layer in range(_LAYERS):
        stroke_px = max(2, round(size_px / (22 + 14 * layer)))
        count = round((size_px / stroke_px) ** 2 * 0.9)
        for start in generator.uniform(0, size_px, (count, 2)):
            line = _stroke(start, centres, turns, size_px)
            colour = _colour(start, centres, size_px, generator)
            draw.line([tuple(point) for point in line], fill=colour, width=stroke_px, joint="curve")
    return canvas


def _stroke(start: Array, centres: Array, turns: Array, size_px: int) -> list[Array]:
    """Points along the whirls, from `start` on."""
    points, step = [start], size_px / 150
    for _ in range(_STEPS):
        away = points[-1] - centres
        near = np.exp(-np.hypot(*away.T) / (0.16 * size_px)) * turns
        flow = (near[:, None] * away[:, ::-1] * (-1, 1) / (np.hypot(*away.T)[:, None] + 1)).sum(axis=0)
        flow += (0.12, 0.05 * math.sin(points[-1][0] / size_px * 9))
        points.append(points[-1] + step * flow / (np.hypot(*flow) + 1e-9))
    return points


def _colour(at: Array, centres: Array, size_px: int, generator: np.random.Generator) -> tuple[int, int, int]:
    """Lighter towards the middle of a whirl, in rings."""
    distance = np.hypot(*(at - centres).T).min() / size_px
    light = math.exp(-distance / 0.09) * 4.5 + 1.2 * math.sin(distance * 70) + generator.normal(1.0, 0.7)
    tone = np.array(_PALETTE[int(np.clip(round(light), 0, len(_PALETTE) - 1))])
    red, green, blue = np.clip(tone + generator.normal(0, 10, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def main(arguments: list[str] | None = None) -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=SIZE_PX)
    parser.add_argument("--seed", type=int, default=SEED)
    told = parser.parse_args(arguments)
    paint(told.size, told.seed).save(told.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

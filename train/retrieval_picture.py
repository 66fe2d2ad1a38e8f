"""The picture of who found whom."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont, ImageOps

from runtimes import Array
from sdk.inputs.image_decode import decode_image
from train.tasks.base import Split

_TILE_PX, _GAP_PX, _FRAME_PX, _TEXT_PX = 96, 10, 4, 18
_PAPER, _INK, _RIGHT, _WRONG = (255, 255, 255), (28, 32, 38), (22, 163, 74), (220, 38, 38)


def neighbours_png(split: Split, queries: Array, nearest: Array, cosines: Array) -> bytes:
    """A row per query: itself, then what it found, nearest first; green is of its class, red is not.

    Args:
        split: Whose items they are.
        queries: Item indices, int64 (Q,).
        nearest: Item indices of what each found, int64 (Q, K).
        cosines: Of those, float32 (Q, K).
    """
    step_x, step_y = _TILE_PX + _GAP_PX, _TILE_PX + _TEXT_PX + _GAP_PX
    size = (step_x * (1 + nearest.shape[1]) + 2 * _GAP_PX, step_y * len(queries) + _GAP_PX)
    canvas = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for row, query in enumerate(queries.tolist()):
        top = _GAP_PX + row * step_y
        canvas.paste(_tile(split, query), (_GAP_PX, top))
        name = split.labels[split.targets[query]]
        draw.text((_GAP_PX, top + _TILE_PX + 2), name[:15], fill=_INK, font=font)
        for column, found in enumerate(nearest[row].tolist()):
            left = 2 * _GAP_PX + (1 + column) * step_x
            colour = _RIGHT if split.targets[found] == split.targets[query] else _WRONG
            frame = (
                left - _FRAME_PX,
                top - _FRAME_PX,
                left + _TILE_PX + _FRAME_PX - 1,
                top + _TILE_PX + _FRAME_PX - 1,
            )
            draw.rectangle(frame, fill=colour)
            canvas.paste(_tile(split, found), (left, top))
            text = f"{cosines[row, column]:.2f}"
            draw.text((left, top + _TILE_PX + 4), text, fill=colour, font=font)
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def _tile(split: Split, row: int) -> Image.Image:
    picture = decode_image(split.items[row]).convert("RGB")
    small = max(picture.size) * 2 <= _TILE_PX
    how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return ImageOps.pad(picture, (_TILE_PX, _TILE_PX), how, color=_PAPER)

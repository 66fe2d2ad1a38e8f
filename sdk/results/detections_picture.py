"""The picture of a detector's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from sdk.results.detections import Detection, Detections

_SMALLEST_PX, _LARGEST_PX = 480, 1600
"""Longest side of the drawing: small pictures are enlarged until words fit on them, large ones shrunk."""
_COLOURS = (
    (37, 99, 235), (220, 38, 38), (5, 150, 105), (194, 65, 12), (124, 58, 237), (219, 39, 119),
    (14, 116, 144), (77, 124, 15), (79, 70, 229), (180, 83, 9),
)  # fmt: skip
"""Dark enough for white words; a class has always the same one."""
_PAPER = (255, 255, 255)


def draw_detections(source: Image.Image, detections: Detections, *, resize: bool = True) -> Image.Image:
    """A picture with boxes, labels and scores on it; a new RGB image.

    Args:
        source: The picture, or a smaller version of it.
        detections: Their `size_wh` says what size of it the boxes speak of.
        resize: Bring the picture to a size that words can be read at; otherwise it keeps its own, as the
            frames of a film must.
    """
    canvas = source.convert("RGB")
    ratio = 1.0
    if resize:
        longest = max(source.size)
        ratio = min(max(longest, _SMALLEST_PX), _LARGEST_PX) / longest
    if ratio != 1.0:
        size = (max(1, round(source.width * ratio)), max(1, round(source.height * ratio)))
        canvas = canvas.resize(size, Image.Resampling.LANCZOS)
    elif canvas is source:
        canvas = canvas.copy()
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(min(22, max(11, max(canvas.size) // 45)))
    line = max(2, max(canvas.size) // 320)
    width, height = detections.size_wh or source.size
    ratio_xy = (canvas.width / width, canvas.height / height)
    entries = [(entry, _scaled(entry, ratio_xy)) for entry in detections]
    for entry, box in reversed(entries):  # the best comes last, on top
        draw.rectangle(box, outline=_colour(entry), width=line)
    taken: list[tuple[float, float, float, float]] = []
    for entry, box in entries:
        _draw_label(draw, entry, box, font, taken)
    return canvas


def _scaled(entry: Detection, ratio_xy: tuple[float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = entry.box_xyxy
    return left * ratio_xy[0], top * ratio_xy[1], right * ratio_xy[0], bottom * ratio_xy[1]


def _colour(entry: Detection) -> tuple[int, int, int]:
    return _COLOURS[entry.class_id % len(_COLOURS)]


def _draw_label(
    draw: ImageDraw.ImageDraw,
    entry: Detection,
    box: tuple[float, float, float, float],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    taken: list[tuple[float, float, float, float]],
) -> None:
    """White on the box's colour: above the box, inside or below it, where no better box's words are."""
    words = f"{entry.label} {entry.score:.0%}"
    left, top, right, bottom = font.getbbox(words)
    wide, high = right - left + 6, bottom - top + 6
    canvas_w, canvas_h = draw.im.size
    x = min(max(box[0], 0), max(canvas_w - wide, 0))
    for y in (box[1] - high, box[1], box[3]):
        place = (x, y, x + wide, y + high)
        if 0 <= y <= canvas_h - high and not any(_overlap(place, other) for other in taken):
            break
    else:
        y = min(max(box[1] - high, 0), max(canvas_h - high, 0))
        place = (x, y, x + wide, y + high)
    taken.append(place)
    draw.rectangle(place, fill=_colour(entry))
    draw.text((x + 3 - left, place[1] + 3 - top), words, fill=_PAPER, font=font)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

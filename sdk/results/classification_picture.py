"""The picture of a classifier's answer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from sdk.results.classification import RankedLabel

_PICTURE_PX = 320
_PANEL_PX = 300
_ROW_PX = 40
_MARGIN_PX = 16
_FONT_PX, _LINE_PX = 15, 22
_PAGE_COLUMNS, _PAGE_LINES = 40, 14
_INK, _FAINT, _BAR, _PAPER = (28, 32, 38), (226, 230, 236), (37, 99, 235), (255, 255, 255)


def draw_classification(source: Image.Image | str, top: Sequence[RankedLabel]) -> Image.Image:
    """A picture, or the beginning of a text, beside its ranked labels as bars; a new RGB image."""
    picture = _page(source) if isinstance(source, str) else enlarged(source)
    height = max(picture.height, _ROW_PX * len(top)) + 2 * _MARGIN_PX
    width = picture.width + _PANEL_PX + 3 * _MARGIN_PX
    canvas = Image.new("RGB", (width, height), _PAPER)
    canvas.paste(picture, (_MARGIN_PX, _MARGIN_PX))
    draw = ImageDraw.Draw(canvas)
    for row, entry in enumerate(top):
        _draw_bar(draw, (picture.width + 2 * _MARGIN_PX, _MARGIN_PX + row * _ROW_PX), entry, row == 0)
    return canvas


def enlarged(source: Image.Image) -> Image.Image:
    """A picture in RGB at the size at which results are shown."""
    ratio = _PICTURE_PX / max(source.size)
    size = (max(1, round(source.width * ratio)), max(1, round(source.height * ratio)))
    # Tiny pictures keep their pixels visible; photos shrink smoothly.
    how = Image.Resampling.NEAREST if ratio >= 2 else Image.Resampling.LANCZOS
    return source.convert("RGB").resize(size, how)


def _page(text: str) -> Image.Image:
    """The beginning of a text as a picture."""
    lines = textwrap.wrap(text[: _PAGE_LINES * _PAGE_COLUMNS * 2], _PAGE_COLUMNS, max_lines=_PAGE_LINES)
    page = Image.new("RGB", (_PICTURE_PX, _LINE_PX * max(1, len(lines))), _PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(_FONT_PX)
    for row, line in enumerate(lines):
        draw.text((0, row * _LINE_PX), line, fill=_INK, font=font)
    return page


def _draw_bar(draw: ImageDraw.ImageDraw, at: tuple[int, int], entry: RankedLabel, best: bool) -> None:
    left, top = at
    font = ImageFont.load_default(_FONT_PX)
    filled = round(_PANEL_PX * min(max(entry.score, 0.0), 1.0))
    draw.text((left, top), entry.label, fill=_INK, font=font)
    draw.text((left + _PANEL_PX, top), f"{entry.score:.1%}", fill=_INK, font=font, anchor="ra")
    bar = (top + 22, top + 30)
    draw.rounded_rectangle((left, bar[0], left + _PANEL_PX, bar[1]), 4, fill=_FAINT)
    if filled > 8:
        draw.rounded_rectangle(
            (left, bar[0], left + filled, bar[1]), 4, fill=_BAR if best else (148, 163, 184)
        )

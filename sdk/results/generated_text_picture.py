"""The picture of a generated text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from sdk.results.generated_text import Attention, GeneratedText

_MARGIN_PX, _LINE_PX, _CELL_PX, _FONT_PX = 16, 22, 26, 15
_COLUMNS, _MOST_LINES = 90, 200
_WIDTH_PX = 720
_INK, _QUIET, _PAPER, _FULL = (28, 32, 38), (100, 116, 139), (255, 255, 255), (29, 78, 216)


def draw_text(result: GeneratedText) -> Image.Image:
    """The prompt in a quiet colour, and below it what was written.

    Args:
        result: Of any length; only the first lines of a very long one are drawn.
    """
    lines = [(line, _QUIET) for line in _wrapped(result.prompt)]
    lines += [(line, _INK) for line in _wrapped(result.text)]
    lines = lines[:_MOST_LINES]
    canvas = Image.new("RGB", (_WIDTH_PX, 2 * _MARGIN_PX + _LINE_PX * max(1, len(lines))), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for row, (line, colour) in enumerate(lines):
        draw.text((_MARGIN_PX, _MARGIN_PX + row * _LINE_PX), line, fill=colour, font=_font())
    return canvas


def draw_attention(result: GeneratedText, attention: Attention) -> Image.Image:
    """A cell per token written (rows) and token read (columns), the darker the more it was looked at."""
    font = _font()
    left = _MARGIN_PX + _widest(attention.written, font) + 8
    bottom = 8 + _widest(attention.read, font)
    rows, columns = attention.weights.shape
    title_px = round(font.getlength(_title(result)))
    width = max(left + columns * _CELL_PX, title_px + _MARGIN_PX) + _MARGIN_PX
    height = _MARGIN_PX + _LINE_PX + rows * _CELL_PX + bottom + _MARGIN_PX
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN_PX, _MARGIN_PX // 2), _title(result), fill=_INK, font=font)
    top = _MARGIN_PX + _LINE_PX
    for row in range(rows):
        middle = top + row * _CELL_PX + _CELL_PX // 2
        draw.text((left - 8, middle), attention.written[row], fill=_INK, font=font, anchor="rm")
        for column in range(columns):
            corner = (left + column * _CELL_PX, top + row * _CELL_PX)
            draw.rectangle(
                (*corner, corner[0] + _CELL_PX - 2, corner[1] + _CELL_PX - 2),
                fill=_shade(float(attention.weights[row, column])),
            )
    for column, token in enumerate(attention.read):
        _draw_upright(canvas, token, (left + column * _CELL_PX, top + rows * _CELL_PX + 4), font)
    return canvas


def _draw_upright(canvas: Image.Image, token: str, corner: tuple[int, int], font: Any) -> None:
    """A token below its column, turned to be read from below."""
    label = Image.new("RGB", (max(1, round(font.getlength(token))), _CELL_PX), _PAPER)
    ImageDraw.Draw(label).text((0, _CELL_PX // 2), token, fill=_INK, font=font, anchor="lm")
    canvas.paste(label.transpose(Image.Transpose.ROTATE_90), corner)


def _shade(weight: float) -> tuple[int, int, int]:
    share = min(max(weight, 0.0), 1.0)
    red, green, blue = (
        round(paper + (full - paper) * share) for paper, full in zip((238, 242, 247), _FULL, strict=True)
    )
    return red, green, blue


def _title(result: GeneratedText) -> str:
    return textwrap.shorten(f"{result.prompt}: {result.text}", _COLUMNS, placeholder=" …")


def _widest(tokens: tuple[str, ...], font: Any) -> int:
    return max((round(font.getlength(token)) for token in tokens), default=0)


def _wrapped(text: str) -> list[str]:
    return [part for line in text.splitlines() for part in (textwrap.wrap(line, _COLUMNS) or [""])]


def _font() -> Any:
    return ImageFont.load_default(_FONT_PX)

"""The picture of a forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from runtimes import Array

if TYPE_CHECKING:
    from sdk.results.forecast import Forecast

_WIDTH_PX, _HEIGHT_PX, _STRIP_PX = 960, 360, 18
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 72, 16, 36, 30
_PAPER, _INK, _GRID, _PAST = (255, 255, 255), (28, 32, 38), (226, 230, 236), (100, 116, 139)
_MEDIAN, _LOOKED_AT = (37, 99, 235), (217, 119, 6)
_PAST_HORIZONS = 4
"""So many times the horizon is shown of the past."""
_LINES = 5


def draw_forecast(forecast: Forecast) -> Image.Image:
    """The recent past, the medians and their intervals over time; a new RGB image.

    Where the network has attention, a strip shows which parts of the whole past it looked at.

    Args:
        forecast: With or without its source.
    """
    canvas = Image.new("RGB", (_WIDTH_PX, _HEIGHT_PX), _PAPER)
    draw = ImageDraw.Draw(canvas)
    past = _recent(forecast)
    frame = _Frame(len(past), forecast, past)
    _draw_axes(draw, frame, forecast)
    middle = len(forecast.levels) // 2
    for at in range(middle):
        shade = round(200 - 60 * (at + 1) / middle)
        upper = frame.points(forecast.quantiles[:, -1 - at], len(past))
        lower = frame.points(forecast.quantiles[:, at], len(past))
        if len(upper) > 1:
            draw.polygon([*upper, *reversed(lower)], fill=(shade, shade + 24, 255))
    _draw_line(draw, frame.points(past, 0), _PAST)
    joined = np.concatenate([past[-1:], forecast.values])
    _draw_line(draw, frame.points(joined, max(0, len(past) - 1)), _MEDIAN)
    if forecast.attention is not None:
        _draw_attention(draw, forecast.attention.mean(axis=0))
    return canvas


class _Frame:
    """From row and value to pixels.

    Args:
        before: Rows of the past that are shown.
        forecast: What is drawn.
        past: Their values.
    """

    def __init__(self, before: int, forecast: Forecast, past: Array) -> None:
        self.rows = max(2, before + len(forecast.times))
        shown = np.concatenate([past[np.isfinite(past)], forecast.quantiles.reshape(-1)]).astype(np.float64)
        low, high = float(shown.min()), float(shown.max())
        margin = 0.06 * (high - low) or max(1.0, abs(high)) * 0.1
        self.low, self.high = low - margin, high + margin

    def x(self, row: float) -> float:
        """Of a row, from 0 for the first that is shown."""
        return _LEFT_PX + row / (self.rows - 1) * (_WIDTH_PX - _LEFT_PX - _RIGHT_PX)

    def y(self, value: float) -> float:
        """Of a value."""
        bottom = _HEIGHT_PX - _BOTTOM_PX - _STRIP_PX
        return bottom - (value - self.low) / (self.high - self.low) * (bottom - _TOP_PX)

    def points(self, values: Array, first: int) -> list[tuple[float, float]]:
        """Of values in a row from row `first` on; missing ones are left out."""
        rows = enumerate(values.tolist(), first)
        return [(self.x(row), self.y(value)) for row, value in rows if np.isfinite(value)]


def _recent(forecast: Forecast) -> Array:
    if forecast.source is None:
        return np.empty(0)
    values: Array = forecast.source.columns[forecast.target]
    known = values[: len(values) - len(forecast.times)]
    return known[-_PAST_HORIZONS * len(forecast.times) :]


def _draw_axes(draw: ImageDraw.ImageDraw, frame: _Frame, forecast: Forecast) -> None:
    font = ImageFont.load_default(13)
    for value in np.linspace(frame.low, frame.high, _LINES + 2)[1:-1].tolist():
        y = frame.y(value)
        draw.line((_LEFT_PX, y, _WIDTH_PX - _RIGHT_PX, y), fill=_GRID)
        draw.text((_LEFT_PX - 6, y), f"{value:.4g}", fill=_INK, font=font, anchor="rm")
    unit = f", {forecast.unit}" if forecast.unit else ""
    draw.text((_LEFT_PX, 8), f"{forecast.target}{unit}", fill=_INK, font=ImageFont.load_default(15))
    first, last = frame.rows - len(forecast.times), frame.rows - 1
    foot = _HEIGHT_PX - _STRIP_PX - 8
    draw.line((frame.x(first), _TOP_PX, frame.x(first), foot - 16), fill=_GRID, width=2)
    draw.text((frame.x(first) - 4, foot), str(forecast.times[0]), fill=_INK, font=font, anchor="rs")
    if last > first:
        draw.text((frame.x(last), foot), str(forecast.times[-1]), fill=_INK, font=font, anchor="rs")


def _draw_line(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: tuple[int, int, int]
) -> None:
    if len(points) > 1:
        draw.line(points, fill=colour, width=2, joint="curve")
    elif points:
        (x, y) = points[0]
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)


def _draw_attention(draw: ImageDraw.ImageDraw, shares: Array) -> None:
    """A strip over the whole past, oldest part first: the darker, the more was looked at."""
    width = (_WIDTH_PX - _LEFT_PX - _RIGHT_PX) / len(shares)
    top = _HEIGHT_PX - _STRIP_PX + 2
    largest = max(float(shares.max()), 1e-6)
    draw.text((_LEFT_PX - 6, top + 7), "looked at", fill=_INK, font=ImageFont.load_default(11), anchor="rm")
    for at, share in enumerate((shares / largest).tolist()):
        colour = tuple(round(255 - share * (255 - end)) for end in _LOOKED_AT)
        left = _LEFT_PX + at * width
        draw.rectangle((left, top, left + width - 1, top + 14), fill=colour)

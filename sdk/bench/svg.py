"""Just enough SVG: shapes, and axes that mark round numbers. Colours come from the page's variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

FONT = 12.5
_CHARACTER, _STRONG_CHARACTER = 0.58, 0.66
"""Width of a character of common system fonts, in font sizes, rather too wide: labels are placed by it."""


def text_width(text: str, font: float = FONT, *, strong: bool = False) -> float:
    """About how wide a text is, in the drawing's units."""
    return (_STRONG_CHARACTER if strong else _CHARACTER) * font * len(text)


@dataclass
class Drawing:
    """An `<svg>` in the making.

    Attributes:
        width: Of the drawing's own units.
        height: Likewise.
        title: What it shows, for those who cannot see it.
    """

    width: float
    height: float
    title: str
    _parts: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, text: str, *, kind: str = "", anchor: str = "start", font: float = FONT
    ) -> None:
        """A line of text; `y` is its middle. Kinds: ``soft``, ``strong``, or none."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{font:g}" text-anchor="{anchor}" '
            f'dominant-baseline="central" class="{kind}">{escape(text)}</text>'
        )

    def line(
        self, x1: float, y1: float, x2: float, y2: float, *, kind: str = "grid", width: float = 1
    ) -> None:
        """A straight line. Kinds: ``grid``, ``ink``, ``soft``, or a colour."""
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{_colour(kind)}" stroke-width="{width:g}"/>'
        )

    def bar(self, x: float, y: float, *, width: float, height: float, colour: str, tip: str) -> None:
        """A filled rectangle that says `tip` under the pointer."""
        self._parts.append(
            f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width, 0.5):.2f}" height="{height:.1f}" '
            f'fill="{_colour(colour)}"><title>{escape(tip)}</title></rect>'
        )

    def area(self, points: Sequence[tuple[float, float]], base: float, colour: str) -> None:
        """The space between a curve and a base line, with the curve drawn."""
        curve = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        closed = f"M{points[0][0]:.1f} {base:.1f} L{curve} L{points[-1][0]:.1f} {base:.1f} Z"
        self._parts.append(f'<path d="{closed}" fill="{_colour(colour)}" fill-opacity="0.22"/>')
        self._parts.append(
            f'<path d="M{curve}" fill="none" stroke="{_colour(colour)}" stroke-width="1.8" '
            f'stroke-linejoin="round"/>'
        )

    def steps(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """A dashed line through points."""
        curve = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._parts.append(
            f'<path d="M{curve}" fill="none" stroke="{_colour(colour)}" stroke-width="1.4" '
            f'stroke-dasharray="5 4" opacity="0.75"/>'
        )

    def dot(self, x: float, y: float, radius: float, colour: str, tip: str, *, hollow: bool = False) -> None:
        """A disc, or a ring, that says `tip` under the pointer."""
        fill = "var(--card)" if hollow else _colour(colour)
        self._parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" stroke="{_colour(colour)}" '
            f'stroke-width="2"><title>{escape(tip)}</title></circle>'
        )

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """Squares with names, side by side: (colour, name) pairs."""
        for colour, name in entries:
            self.bar(x, y - 5, width=10, height=10, colour=colour, tip=name)
            self.text(x + 15, y, name, kind="soft")
            x += 32 + text_width(name)

    def render(self) -> str:
        """The element."""
        body = "".join(self._parts)
        return (
            f'<figure><svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.title)}">{body}</svg></figure>'
        )


@dataclass(frozen=True)
class Axis:
    """Values to positions, evenly or by their logarithm.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        start: Position in the drawing.
        end: Position in the drawing.
        log: Whether by the logarithm.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Position of a value; beyond the ends it stays at the end."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / ((high - low) or 1.0)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values from `low` to `high`."""
        return self._log_ticks(about) if self.log else self._even_ticks(about)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value

    def _even_ticks(self, about: int) -> list[float]:
        rough = (self.high - self.low) / max(1, about) or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _log_ticks(self, about: int) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found: list[float] = []
        for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            found = [k * 10.0**d for d in decades for k in steps if self.low <= k * 10.0**d <= self.high]
            if len(found) >= about - 2:
                break
        return found if len(found) > 1 else self._even_ticks(about)


def tick_text(value: float) -> str:
    """A round number without needless digits."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _colour(name: str) -> str:
    named = {"grid": "var(--line)", "ink": "var(--ink)", "soft": "var(--soft)", "card": "var(--card)"}
    return named.get(name, name)

"""What is bought with which latency: two figures of every artifact, and the front of the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from sdk.bench.charts import HALF, colour_of
from sdk.bench.record import BenchRun
from sdk.bench.svg import Axis, Drawing, text_width, tick_text
from sdk.bench.words import ms

_LEFT = 56.0
"""Where the plot begins: left of it stand the numbers of the upright axis."""


def pareto(
    runs: Sequence[BenchRun], of: Callable[[BenchRun], float | None], label: str, *, more_is_better: bool
) -> str | None:
    """Latency against something else, with the front of those that nobody beats in both.

    Args:
        runs: All artifacts.
        of: The other figure; None where an artifact has none.
        label: Its name and unit.
        more_is_better: Whether a larger one is better.

    Returns:
        The chart, or None with fewer than two points.
    """
    points = [
        (run, value, run.latency.p50.value_ms)
        for run in runs
        if run.latency and run.latency.p50.value_ms and (value := of(run)) is not None
    ]
    if len(points) < 2:
        return None
    drawing = Drawing(HALF, 330, f"Median latency against {label}")
    across = _padded(sorted(x for _, x, _ in points), _LEFT, HALF - 16)
    up = _padded(sorted(y for *_, y in points), 280, 16)
    for tick in up.ticks(5):
        drawing.line(across.start, up.at(tick), across.end, up.at(tick))
        drawing.text(across.start - 8, up.at(tick), tick_text(tick), kind="soft", anchor="end")
    for tick in across.ticks(5):
        drawing.text(across.at(tick), up.start + 14, tick_text(tick), kind="soft", anchor="middle")
    drawing.line(across.start, up.start, across.end, up.start, kind="soft")
    drawing.text((across.start + across.end) / 2, up.start + 34, label, kind="soft", anchor="middle")
    drawing.text(0, 6, "p50, ms", kind="soft")
    front = _front(points, more_is_better)
    corners: list[tuple[float, float]] = []
    for run in front:
        _, x, y = next(point for point in points if point[0] is run)
        if corners:
            corners.append((across.at(x), corners[-1][1]))
        corners.append((across.at(x), up.at(y)))
    boxes: list[tuple[float, float, float, float]] = []
    if len(corners) > 1:
        drawing.steps(corners, "soft")
        boxes += [
            (min(x1, x2), min(y1, y2) - 1, max(x1, x2), max(y1, y2) + 1)
            for (x1, y1), (x2, y2) in pairwise(corners)
        ]
    for run, x, y in sorted(points, key=lambda point: point[2]):
        on_front = any(run is member for member in front)
        tip = f"{run.file}: {tick_text(x)} {label}, {ms(y)} ms"
        drawing.dot(across.at(x), up.at(y), 5.5, colour_of(run), tip, hollow=not on_front)
        boxes.append((across.at(x) - 7, up.at(y) - 6, across.at(x) + 7, up.at(y) + 6))
    for run, x, y in sorted(points, key=lambda point: point[2]):
        _label(drawing, run.file, across.at(x), up.at(y), boxes)
    return drawing.render()


def _front(points: Sequence[tuple[BenchRun, float, float]], more_is_better: bool) -> list[BenchRun]:
    """Those that no other beats in both, from the fastest on."""
    sign = -1.0 if more_is_better else 1.0
    front, best = [], float("inf")
    for run, x, _ in sorted(points, key=lambda point: (point[2], sign * point[1])):
        if sign * x < best:
            front.append(run)
            best = sign * x
    return front


def _label(
    drawing: Drawing, text: str, x: float, y: float, taken: list[tuple[float, float, float, float]]
) -> None:
    """A name beside its point, where it covers no other; the first of a few places that is free."""
    width = text_width(text)
    places = [(x + 10, y), (x - 10 - width, y), (x - width / 2, y - 16), (x - width / 2, y + 17)]
    places += [(x + 10, y - 15), (x + 10, y + 15), (x - 10 - width, y - 15), (x - 10 - width, y + 15)]
    boxes = [(px, py - 8, px + width, py + 8) for px, py in places]
    free = [
        (place, box)
        for place, box in zip(places, boxes, strict=True)
        if box[0] >= _LEFT and box[2] <= drawing.width and not any(_overlap(box, other) for other in taken)
    ]
    place, box = free[0] if free else (places[0], boxes[0])
    taken.append(box)
    drawing.text(place[0], place[1], text)


def _overlap(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _padded(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis with room around its values; logarithmic where they span more than a factor of five."""
    low, high = values[0], values[-1]
    if low > 0 and high / low > 5:
        return Axis(low / 1.3, high * 1.3, start, end, log=True)
    room = 0.15 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(max(0.0, low - room) if low >= 0 else low - room, high + room, start, end)

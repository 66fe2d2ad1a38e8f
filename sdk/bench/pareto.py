"""What is bought with which latency: two figures of every artifact, and the front of the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from sdk.bench.charts import HALF, colour_of
from sdk.bench.record import BenchRun
from sdk.bench.svg import Axis, Drawing, text_width, tick_text
from sdk.bench.words import ms

Point = tuple[BenchRun, float, float]
"""An artifact, its other figure, and its median latency in milliseconds."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
_LABEL_DOWN, _NEAR = (0.0, -16.0, 17.0, -32.0, 33.0, -48.0, 49.0, -64.0, -80.0), 20.0
"""Heights of a name against its point, by preference; beyond `_NEAR` a line leads to it."""
_BOTTOM = 280.0
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
    up = _padded(sorted(y for *_, y in points), _BOTTOM, 16)
    _axes(drawing, across, up, label)
    front = _front(points, more_is_better)
    taken = _draw_front(drawing, [(across.at(x), up.at(y)) for _, x, y in front])
    for point in points:
        run, x, y = point
        tip = f"{run.file}: {tick_text(x)} {label}, {ms(y)} ms"
        drawing.dot(across.at(x), up.at(y), 5.5, colour_of(run), tip, hollow=point not in front)
        taken.append((across.at(x) - 7, up.at(y) - 6, across.at(x) + 7, up.at(y) + 6))
    for run, x, y in sorted(points, key=lambda point: point[2]):
        _label(drawing, run.file, across.at(x), up.at(y), taken)
    return drawing.render()


def _axes(drawing: Drawing, across: Axis, up: Axis, label: str) -> None:
    for tick in up.ticks(5):
        drawing.line(across.start, up.at(tick), across.end, up.at(tick))
        drawing.text(across.start - 8, up.at(tick), tick_text(tick), kind="soft", anchor="end")
    for tick in across.ticks(5):
        drawing.text(across.at(tick), up.start + 14, tick_text(tick), kind="soft", anchor="middle")
    drawing.line(across.start, up.start, across.end, up.start, kind="soft")
    drawing.text((across.start + across.end) / 2, up.start + 34, label, kind="soft", anchor="middle")
    drawing.text(0, 6, "p50, ms", kind="soft")


def _draw_front(drawing: Drawing, members: Sequence[tuple[float, float]]) -> list[Box]:
    """The dashed steps from member to member, and the places that they take."""
    corners: list[tuple[float, float]] = []
    for x, y in members:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    if len(corners) > 1:
        drawing.steps(corners, "soft")
    return [
        (min(x1, x2), min(y1, y2) - 1, max(x1, x2), max(y1, y2) + 1)
        for (x1, y1), (x2, y2) in pairwise(corners)
    ]


def _front(points: Sequence[Point], more_is_better: bool) -> list[Point]:
    """Those that no other beats in both, from the fastest on."""
    sign = -1.0 if more_is_better else 1.0
    front, best = [], float("inf")
    for point in sorted(points, key=lambda point: (point[2], sign * point[1])):
        if sign * point[1] < best:
            front.append(point)
            best = sign * point[1]
    return front


def _label(drawing: Drawing, text: str, x: float, y: float, taken: list[Box]) -> None:
    """A name beside its point, or further off with a line to it: the first place that covers nothing."""
    width = text_width(text)
    sides = (x + 10, x - 10 - width, x - width / 2)
    places = [(side, y + down) for down in _LABEL_DOWN for side in sides if down or side != sides[2]]
    boxes = [(px, py - 8, px + width, py + 8) for px, py in places]
    free = [
        box
        for box in boxes
        if box[0] >= _LEFT
        and box[2] <= drawing.width
        and box[1] >= 0
        and box[3] <= _BOTTOM
        and not any(_overlap(box, other) for other in taken)
    ]
    box = free[0] if free else boxes[0]
    taken.append(box)
    middle = (box[1] + box[3]) / 2
    if abs(middle - y) > _NEAR:
        drawing.line(x, y, min(max(x, box[0] + 6), box[2] - 6), box[3] if middle < y else box[1], kind="soft")
    drawing.text(box[0], middle, text)


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _padded(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis with room around its values; logarithmic where they span more than a factor of five."""
    low, high = values[0], values[-1]
    if low > 0 and high / low > 5:
        return Axis(low / 1.3, high * 1.3, start, end, log=True)
    room = 0.15 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(max(0.0, low - room) if low >= 0 else low - room, high + room, start, end)

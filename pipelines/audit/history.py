"""The trend over the audits of a series as small drawings: coordinates and words, no colours.

A point is a circle while it is within its limit, hollow where it only follows from others, and a
diamond where it crossed: shape says what colour says. Templates draw them (`pages/audit`).
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.audit.axes import (
    BOTTOM,
    COUNTED,
    LEFT,
    RIGHT,
    TOP,
    Tick,
    both_ways,
    columns_of,
    names_of,
    ticks_of,
    written,
)
from pipelines.audit.readings import Reading, Watched, watched
from pipelines.audit.series import Verdict

MOST_AUDITS = 52
SHAPES = {"crossed": "crossed", "follows": "follows"}
SAYS = {"crossed": "crossed", "follows": "follows"}


class Point(NamedTuple):
    """One audit in a drawing."""

    column: int
    audit: str
    x: float
    y: float
    low: float | None
    """Where its interval ends, as a coordinate; None without one."""
    high: float | None
    shape: str
    """`crossed`, `follows` or `within`."""
    text: str
    """Its value, its interval and, where it crossed, that it did."""
    value: float


class Panel(NamedTuple):
    """One thing over the audits, in a box of WIDTH by HEIGHT."""

    kind: str
    title: str
    points: list[Point]
    line: str
    """The points' polyline."""
    limits: list[str]
    """Paths of the limits, which may change from audit to audit."""
    base: float
    """Height of the line that stands for no change (0, or an AUC of 0.5)."""
    ticks: list[Tick]
    names: list[Tick]


class History(NamedTuple):
    """The trend up to an audit."""

    panels: list[Panel]
    others: int
    """Effects that are not drawn."""
    audits: list[Verdict]
    before: int
    """Audits that are too long ago to be drawn."""
    slot: float
    """Width of one audit in a drawing."""


def history_of(verdicts: Sequence[Verdict]) -> History:
    """The trend over these audits, in their order."""
    kept = list(verdicts[-MOST_AUDITS:])
    names = [verdict["name"] for verdict in kept]
    found, others = watched(kept)
    panels = [_panel(one, names) for one in found if any(one.readings)]
    slot = (RIGHT - LEFT) / len(names)
    return History(panels, others, kept, len(verdicts) - len(kept), slot)


def _panel(what: Watched, names: list[str]) -> Panel:
    base = 0.5 if what.kind == "auc" else 0.0
    low, high = _range(what, base)
    xs = columns_of(len(names))

    def height(value: float) -> float:
        inside = min(max(value, low), high)
        return BOTTOM - (BOTTOM - TOP) * (inside - low) / (high - low)

    points = [
        _point(i, names[i], xs[i], reading, height, what.kind)
        for i, reading in enumerate(what.readings)
        if reading is not None
    ]
    return Panel(
        kind=what.kind,
        title={"label": "label ", "pairs": "pairs "}.get(what.kind, "") + what.text,
        points=points,
        line=" ".join(f"{point.x:.1f},{point.y:.1f}" for point in points),
        limits=_limits(what, xs, height),
        base=height(base),
        ticks=ticks_of(what, base, height),
        names=names_of(names, xs),
    )


def _range(what: Watched, base: float) -> tuple[float, float]:
    """From the lowest to the highest of values, intervals, limits and `base`, with some air."""
    found = [base]
    for reading in filter(None, what.readings):
        found += [reading.value, reading.low, reading.high, reading.limit]  # type: ignore[list-item]
        found += [-reading.limit] if reading.limit is not None and both_ways(what.kind) else []
    known = [value for value in found if value is not None and math.isfinite(value)]
    low, high = min(known), max(known)
    air = 0.06 * (high - low) or 0.5
    return (low - air if what.kind not in COUNTED else low), high + air


def _point(
    i: int, name: str, x: float, reading: Reading, height: Callable[[float], float], kind: str
) -> Point:
    ends = (reading.low, reading.high)
    low, high = (None if end is None else height(end) for end in ends)
    text = written(kind, reading.value)
    if reading.low is not None and reading.high is not None:
        text += f" ({written(kind, reading.low)} to {written(kind, reading.high)})"
    if reading.state in SAYS:
        text += f", {SAYS[reading.state]}"
    shape = SHAPES.get(reading.state, "within")
    return Point(i, name, x, height(reading.value), low, high, shape, text, reading.value)


def _limits(what: Watched, xs: list[float], height: Callable[[float], float]) -> list[str]:
    """A step for each audit that has a limit."""
    half = (RIGHT - LEFT) / len(xs) / 2
    paths = []
    for sign in (1, -1) if both_ways(what.kind) else (1,):
        path, before = "", None
        for x, reading in zip(xs, what.readings, strict=True):
            limit = None if reading is None else reading.limit
            if limit is not None:
                y = height(sign * limit)
                path += f"{'M' if before is None else 'L'}{x - half:.1f} {y:.1f}H{x + half:.1f}"
            before = limit
        paths.append(path)
    return [path for path in paths if path]

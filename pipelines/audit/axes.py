"""The axes of a drawing of a trend: where the audits lie, and what is written beside them."""

import math
from collections.abc import Callable
from typing import NamedTuple

from pipelines.audit.readings import Watched
from pipelines.pages.numbers import fixed, percent, signed, thousands

WIDTH, HEIGHT = 320.0, 136.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 314.0, 10.0, 112.0
LETTER = 6.0  # wide, at the size of the axes
LINE = 10.0  # high
MOST_LETTERS = 14  # of a name below an axis
COUNTED = ("rejects", "missing", "images")  # from 0 on


class Tick(NamedTuple):
    """A label beside an axis."""

    at: float
    text: str
    anchor: str = "end"


def columns_of(count: int) -> list[float]:
    """Where each audit stands."""
    slot = (RIGHT - LEFT) / count
    return [LEFT + (i + 0.5) * slot for i in range(count)]


def both_ways(kind: str) -> bool:
    """Does a limit hold in both directions?"""
    return kind in ("concept", "label", "pairs")


def ticks_of(what: Watched, base: float, height: Callable[[float], float]) -> list[Tick]:
    """The limit, no change and the extremes, as long as their labels keep off each other."""
    last = next((r for r in reversed(what.readings) if r is not None), None)
    limit = None if last is None else last.limit
    seen = [r.value for r in filter(None, what.readings) if math.isfinite(r.value)]
    wanted = [limit, base, -limit if limit is not None and both_ways(what.kind) else None]
    wanted += [max(seen, default=None)]
    wanted += [] if what.kind in COUNTED else [min(seen, default=None)]
    ticks: list[Tick] = []
    for value in wanted:
        if value is None:
            continue
        at = height(value)
        if all(abs(at - tick.at) >= LINE for tick in ticks):
            ticks.append(Tick(at, _brief(what.kind, value)))
    return ticks


def _brief(kind: str, value: float) -> str:
    """As short as an axis wants it."""
    if kind == "auc":
        return fixed(value)
    if kind == "images" and value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return written(kind, value) if value else "0"


def names_of(names: list[str], xs: list[float]) -> list[Tick]:
    """Evenly, as many names as have room; the first and the last always."""
    short = [_short(name) for name in names]
    room = int((RIGHT - LEFT) // (LETTER * max(map(len, short)) + 2 * LETTER))
    count = min(len(names), max(2, room))
    step = (len(names) - 1) / max(1, count - 1)
    evenly = [round(i * step) for i in range(count)]
    taken: dict[int, tuple[float, Tick]] = {}  # where it begins
    for i in dict.fromkeys((evenly[0], evenly[-1], *evenly)):
        left, tick = _placed(short[i], xs[i])
        right = left + LETTER * len(short[i])
        others = [(start, start + LETTER * len(other.text)) for start, other in taken.values()]
        if all(right < start or end < left for start, end in others):
            taken[i] = left, tick
    return [taken[i][1] for i in sorted(taken)]


def _placed(name: str, x: float) -> tuple[float, Tick]:
    """Below its audit, or as near to it as the drawing is wide; and where it begins."""
    wide = LETTER * len(name)
    if x + wide / 2 > WIDTH:
        return WIDTH - wide, Tick(WIDTH, name, "end")
    if x - wide / 2 < 0:
        return 0, Tick(0, name, "start")
    return x - wide / 2, Tick(x, name, "middle")


def _short(name: str) -> str:
    """Beginning and end of a long name."""
    head = MOST_LETTERS // 2 - 1
    return (
        name if len(name) <= MOST_LETTERS else f"{name[:head]}…{name[-(MOST_LETTERS - head - 1) :]}"
    )


def written(kind: str, value: float | None) -> str:
    """A value as its kind is read: effects have a sign; an AUC, shares and counts have none."""
    if value is not None and math.isinf(value):
        return "beyond measure"
    if kind in ("rejects", "missing"):
        return percent(value)
    if kind == "images":
        return thousands(value)
    return fixed(value, 3) if kind == "auc" else signed(value)

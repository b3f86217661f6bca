"""The drawing of a coefficient's histogram: bins side by side, shares of each run as heights."""

import bisect
import math
from dataclasses import dataclass, replace

from pipelines.atlas.model import Histogram

WIDTH, HEIGHT = 360.0, 120.0
TICKS = 6
FEW = 0.01
"""Bins about zero that hold no more than this part of the images of each run are drawn as one."""


@dataclass(frozen=True)
class Bar:
    """One bin of one run."""

    run: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Bin:
    """One line of the table under the drawing."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Drawing:
    """Coordinates in a box of WIDTH × HEIGHT, y downwards."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, float], ...]
    """Place and value of the bins' edges that have a label."""
    zero: float | None
    """Place of 0, if it is drawn."""
    means: tuple[float, ...]
    """Place of each run's mean."""
    bins: tuple[Bin, ...]
    peak: float
    """The largest share; it has the full height."""
    difference: float | None
    """Of two runs, the second mean less the first, over √((σ0² + σ1²)/2)."""


def drawing(histograms: tuple[Histogram, ...]) -> Drawing | None:
    """All runs over the same edges, without the empty bins at both ends; None without an image."""
    histograms = _merged(histograms)
    edges = histograms[0].edges if histograms else ()
    used = [i for h in histograms for i, count in enumerate(h.counts) if count]
    if not used:
        return None
    first, last = max(min(used) - 1, 0), min(max(used) + 2, len(edges) - 1)
    step = WIDTH / (last - first)
    shares = [[count / max(sum(h.counts), 1) for count in h.counts] for h in histograms]
    peak = max(max(share) for share in shares)
    bars = tuple(
        Bar(run, step * (i - first) + 1, HEIGHT * (1 - h / peak), step - 2, HEIGHT * h / peak)
        for run, share in enumerate(shares)
        for i, h in enumerate(share)
        if h
    )
    every = max(1, math.ceil((last - first) / TICKS))
    zero = _place(0.0, edges)
    return Drawing(
        bars,
        tuple((step * (i - first), edges[i]) for i in _labelled(edges, first, last, every)),
        step * (zero - first) if first < zero < last else None,
        tuple(step * (_place(h.mean, edges) - first) for h in histograms),
        tuple(
            Bin(edges[i], edges[i + 1], tuple(h.counts[i] for h in histograms))
            for i in range(first, last)
        ),
        peak,
        _difference(histograms),
    )


def _labelled(edges: tuple[float, ...], first: int, last: int, every: int) -> list[int]:
    """Edges at equal steps, outwards from zero where it is among them."""
    low, high = bisect.bisect_right(edges, 0.0) - 1, bisect.bisect_left(edges, 0.0)
    if not first < low <= high < last:
        return list(range(first, last + 1, every))
    step = every // 2 if low < high else every
    below = reversed(range(low - step, first - 1, -every))
    middle = [low] if low == high else []
    return [*below, *middle, *range(high + step, last + 1, every)]


def _merged(histograms: tuple[Histogram, ...]) -> tuple[Histogram, ...]:
    """The octaves next to zero are many and all but empty: those in the middle become one bin."""
    edges = histograms[0].edges if histograms else ()
    best = None
    for high in range(bisect.bisect_right(edges, 0.0), len(edges)):
        low = bisect.bisect_left(edges, -edges[high])
        if edges[low] != -edges[high] or any(_part(h, low, high) > FEW for h in histograms):
            break
        best = low, high
    return histograms if best is None else tuple(_one_bin(h, *best) for h in histograms)


def _part(h: Histogram, low: int, high: int) -> float:
    return sum(h.counts[low:high]) / max(sum(h.counts), 1)


def _one_bin(h: Histogram, low: int, high: int) -> Histogram:
    counts = (*h.counts[:low], sum(h.counts[low:high]), *h.counts[high:])
    return replace(h, counts=counts, edges=(*h.edges[: low + 1], *h.edges[high:]))


def _place(value: float, edges: tuple[float, ...]) -> float:
    """A value's place in bins: the number of its bin, and the part of the way through it."""
    i = min(max(bisect.bisect_right(edges, value) - 1, 0), len(edges) - 2)
    low, high = edges[i], edges[i + 1]
    part = (value - low) / (high - low) if math.isfinite(high - low) else 0.5
    return i + min(max(part, 0.0), 1.0)


def _difference(histograms: tuple[Histogram, ...]) -> float | None:
    if len(histograms) != 2:
        return None
    one, other = histograms
    spread = math.sqrt((one.std**2 + other.std**2) / 2)
    return (other.mean - one.mean) / spread if spread else None

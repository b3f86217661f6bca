"""Permutation control: how large the largest of many differences gets if the sides are shuffled.

One p per quantity that holds for all of them together, under any dependence between them
(Westfall and Young, 1993: single-step max-T; nhd_ops/README.md, section 6).
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from nhd_ops.clusters import Array, Codes, Totals, canonical, merged, ordered, totals

PERMUTATIONS = 9999
MOST_PERMUTATIONS = 99_999
MOST_UNITS = 2000
"""Units that change sides, of both sides together. Where there are more images or clusters,
equally many join to one unit, by order."""
MOST_TIMES = 20
"""The larger side is cut to so many times the smaller, by order: more of it says hardly more, and
units must not become so large that the smaller side has few."""
AT_ONCE = 500
TIE = 1e-9


def permutations_for(alpha: float) -> int:
    """How many tell a p below alpha from one above it: 10/alpha, between 9,999 and 99,999."""
    return min(MOST_PERMUTATIONS, max(PERMUTATIONS, int(np.ceil(10 / alpha)) - 1))


def least_p(n: int, m: int, clusters: tuple[Codes, Codes] | None = None) -> float:
    """The smallest p that any number of permutations of n and m images can give: 2 / C(U0+U1, U0).

    U0 and U1 units change sides; the 2 is for equally many, where the mirror image is as extreme.
    """
    sizes = _taken(*((n, m) if clusters is None else (len(np.unique(c)) for c in clusters)))
    join = -(-sum(sizes) // MOST_UNITS)
    one, other = (size // join for size in sizes)
    ways = gammaln(one + other + 1) - gammaln(one + 1) - gammaln(other + 1)
    return float(min(1.0, 2 * np.exp(-ways)))


def family_wise_p(
    baseline: Array,
    current: Array,
    clusters: tuple[Codes, Codes] | None = None,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> Array:
    """[Q] family-wise p of no difference between values [n,Q] and [m,Q].

    The statistic is the difference of the means over its standard error if both sides are one, from
    all images or clusters together: of one quantity it orders as Student's |t| does. Images, or
    whole clusters, change sides at random; a quantity's p is how often the largest statistic of all
    quantities reaches its own, and never below 1/(permutations + 1). What is left over when images
    are joined to units of equal size stays out, and so does what a side has beyond MOST_TIMES.
    """
    sides, known = _cut([baseline, current], clusters)
    if not canonical(baseline, current):
        sides, known = sides[::-1], known[::-1]
    middle = np.concatenate(sides).mean(0)
    join = -(-sum(_count(s, c) for s, c in zip(sides, known, strict=True)) // MOST_UNITS)
    units = [_units(s - middle, c, join) for s, c in zip(sides, known, strict=True)]
    first = len(units[0].sizes)
    pooled = _columns(Totals(*(np.concatenate(part) for part in zip(*units, strict=True))))  # [U,K]
    side = (np.arange(len(pooled)) < first)[None].astype(np.float64)
    seen = _statistic(side, pooled)[0] * (1 - TIE)  # [Q]
    rng, reached = np.random.default_rng([seed, 2]), np.ones(len(seen))
    for start in range(0, permutations, AT_ONCE):
        drawn = _shuffled(rng, min(AT_ONCE, permutations - start), len(pooled), first)
        largest = _statistic(drawn, pooled).max(1)
        reached += (largest[:, None] >= seen).sum(0)
    return reached / (permutations + 1)


def _taken(one: int, other: int) -> tuple[int, int]:
    """How many images or clusters of each side take part."""
    return min(one, MOST_TIMES * other), min(other, MOST_TIMES * one)


def _cut(
    sides: list[Array], clusters: tuple[Codes, Codes] | None
) -> tuple[list[Array], list[Codes | None]]:
    """The first images, or those of the first clusters, of a side that is far the larger."""
    if clusters is None:
        most = _taken(len(sides[0]), len(sides[1]))
        return [side[:some] for side, some in zip(sides, most, strict=True)], [None, None]
    codes = [ordered(c) for c in clusters]
    most = _taken(*(int(c.max()) + 1 for c in codes))
    kept = [c < some for c, some in zip(codes, most, strict=True)]
    return (
        [side[rows] for side, rows in zip(sides, kept, strict=True)],
        [c[rows] for c, rows in zip(codes, kept, strict=True)],
    )


def _shuffled(rng: np.random.Generator, some: int, units: int, first: int) -> Array:
    """[P,U] of 0 and 1, in each row `first` ones, every such row equally likely.

    Each unit is drawn by itself; then units drawn at random change until the number is right. No
    place is preferred by either step, and both take a third of the time of shuffling rows.
    """
    labels = rng.random((some, units), dtype=np.float32) < first / units
    surplus = labels.sum(1) - first
    while len(rows := np.flatnonzero(surplus)):
        places = rng.integers(units, size=len(rows))
        wrong = labels[rows, places] == (surplus[rows] > 0)
        rows, places = rows[wrong], places[wrong]
        labels[rows, places] ^= True
        surplus[rows] -= np.sign(surplus[rows])
    return labels.astype(np.float64)


def _count(values: Array, clusters: Codes | None) -> int:
    return len(values) if clusters is None else len(np.unique(clusters))


def _units(values: Array, clusters: Codes | None, join: int) -> Totals:
    if clusters is not None:
        return totals(values, merged(clusters, max(2, -(-_count(values, clusters) // join))))
    groups = len(values) // join
    cut = values[: groups * join].reshape(groups, join, -1).sum(1)  # [G,Q]
    return Totals(np.full(groups, float(join)), cut, np.square(cut))


def _columns(units: Totals) -> Array:
    """[U,1+Q]: units' sizes n, then their residuals S - n·mean, each quantity's scaled to length 1.

    0 for what does not vary.
    """
    n = units.sizes[:, None]
    residual = units.sums - n * (units.sums.sum(0) / n.sum())
    length = np.linalg.norm(residual, axis=0)
    scaled = np.divide(residual, length, out=np.zeros_like(residual), where=length > 0)
    return np.concatenate([n, scaled], axis=1)


def _statistic(labels: Array, columns: Array) -> Array:
    """[P,Q] difference of the sides' means over its error, up to a factor common to all.

    For every row of labels [P,U]: 1 on the first side, 0 on the other.
    """
    first = labels @ columns  # [P,1+Q]
    n, total = first[:, :1], columns[:, 0].sum()
    t: Array = np.abs(first[:, 1:]) / np.sqrt(n * (total - n))
    return t

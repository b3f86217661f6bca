"""Intervals of effects by resampling whole clusters (nhd_ops/README.md, section 6)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from nhd_ops.clusters import Array, Codes, canonical, merged, totals
from nhd_ops.shift import Effect, Summary, satterthwaite, summary

REPLICATES = 2000
MOST_CLUSTERS = 2000
"""Above, clusters are merged to this many: enough for the spread, and a product of fixed size."""

Test = Callable[[Summary, Summary], Effect]


def replicates(values: Array, clusters: Codes, rng: np.random.Generator) -> Summary:
    """Summaries of REPLICATES resamples of values [n,Q]: mean and variance are [R,Q].

    G - 1 of G clusters are drawn with replacement, so that the resampled means vary by
    G/(G-1) Σ S_g² as the cluster-robust variance does (Rao and Wu, 1988, JASA 83).
    """
    n, middle = len(values), values.mean(0)
    found = totals(values - middle, merged(clusters, MOST_CLUSTERS))
    groups = len(found.sizes)
    draws = rng.multinomial(groups - 1, np.full(groups, 1 / groups), size=REPLICATES)  # [R,G]
    size = (draws @ found.sizes)[:, None]
    mean = draws @ found.sums / size
    variance = np.maximum(draws @ found.squares / size - np.square(mean), 0) * n / (n - 1)
    return Summary(float(n), middle + mean, variance)


def cluster_interval(
    test: Test,
    baseline: tuple[Array, Codes],
    current: tuple[Array, Codes],
    seed: int,
    confidence: float = 0.95,
) -> tuple[Array, Array]:
    """Ends [Q] of the percentile interval of `test(...).effect`, by values [n,Q] and clusters.

    Few clusters vary in how much they vary, so both ends are moved from the effect by t/z, with the
    degrees of freedom of Welch's test by clusters. A resample in which
    nothing varies counts as the effect itself.
    """
    sides = [baseline, current] if canonical(baseline[0], current[0]) else [current, baseline]
    drawn = [
        replicates(values, clusters, np.random.default_rng([seed, place]))
        for place, (values, clusters) in enumerate(sides)
    ]
    one, other = drawn if sides[0] is baseline else drawn[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = test(one, other).effect  # [R,Q]
    tail = (1 - confidence) / 2
    whole = [summary(values, clusters=clusters) for values, clusters in (baseline, current)]
    effect = test(whole[0], whole[1]).effect
    freedom = satterthwaite(whole[0], whole[1])
    moved = np.where(np.isfinite(found), found - effect, 0.0)  # [R,Q]
    ends = np.quantile(moved, [tail, 1 - tail], axis=0)
    stretch = special.stdtrit(freedom, 1 - tail) / special.ndtri(1 - tail)
    return effect + stretch * ends[0], effect + stretch * ends[1]

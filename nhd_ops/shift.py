"""How much two samples differ, and how sure that is: effect sizes, tests, an AUC.

Everything works on summaries (count, mean, variance), so that stored rows, weighted rows and
merged moments go through the same formulas (nhd_ops/README.md, section 6). Arrays are numpy, fp64.
A positive effect means more on the current side; swapping the sides flips every sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from nhd_ops.clusters import Codes, Design, design

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Summary:
    """Some numbers reduced to what the tests need; the fields broadcast against each other."""

    count: Array | float
    """How many numbers; for weighted ones the effective number, (Σw)²/Σw²; for dependent ones
    that over the design effect, so that variance / count is the variance of the mean."""
    mean: Array
    variance: Array
    """Unbiased (divided by count - 1)."""
    freedom: Array | float | None = None
    """Degrees of freedom of the variance of the mean; None: count - 1, and so many that intervals
    take the normal distribution."""

    @property
    def degrees(self) -> Array | float:
        """`freedom`, or count - 1."""
        return self.count - 1 if self.freedom is None else self.freedom


class Effect(NamedTuple):
    """Effect sizes with their interval and the p-value of no difference."""

    effect: Array
    low: Array
    high: Array
    p: Array


class Auc(NamedTuple):
    """The area under a ROC curve and its standard error."""

    auc: float
    error: float
    freedom: float = np.inf
    """Degrees of freedom of the error."""


def summary(values: Array, weights: Array | None = None, clusters: Codes | None = None) -> Summary:
    """Summary of the first axis: values [n,...], weights [n] (all equal by default).

    With `clusters` [n] the values of a cluster may depend on each other (`clusters.design`).
    """
    found = _independent(np.asarray(values, dtype=np.float64), weights)
    if clusters is None:
        return found
    return dependent(found, design(values, clusters, weights))


def dependent(side: Summary, cost: Design) -> Summary:
    """The same numbers, known as well as their design effect allows."""
    return Summary(side.count / cost.effect, side.mean, side.variance, cost.freedom)


def _independent(values: Array, weights: Array | None) -> Summary:
    if weights is None:
        return Summary(float(len(values)), values.mean(0), values.var(0, ddof=1))
    weights = weights / weights.sum()
    count = 1 / np.square(weights).sum()
    mean = np.tensordot(weights, values, 1)
    variance = np.tensordot(weights, np.square(values - mean), 1) * count / (count - 1)
    return Summary(float(count), mean, variance)


def mean_shift(baseline: Summary, current: Summary, confidence: float = 0.95) -> Effect:
    """Cohen's d on the mean of both variances, its interval, and Welch's p.

    d = (μ1 - μ0) / √((σ0² + σ1²)/2), with the interval of Bonett (2008, Psychological Methods
    13(2), equation 8), which allows unequal variances and sizes; for dependent images with their
    effective numbers and Student's t. Where neither side varies, d is 0 if the means agree and
    infinite if not.
    """
    gap = current.mean - baseline.mean
    pooled = (baseline.variance + current.variance) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(gap == 0, 0.0, gap / np.sqrt(pooled))
        squared = sum(
            s.variance / _known(s) / pooled + np.square(d * s.variance / pooled) / (8 * _known(s))
            for s in (baseline, current)
        )
    half = _quantile(baseline, current, confidence) * np.sqrt(np.nan_to_num(squared, posinf=0.0))
    return Effect(d, d - half, d + half, welch(baseline, current))


def welch(baseline: Summary, current: Summary) -> Array:
    """Two-sided p of Welch's t-test; 1 where nothing varies and the means agree, 0 where not."""
    total = baseline.variance / baseline.count + current.variance / current.count
    gap = np.abs(current.mean - baseline.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * special.stdtr(satterthwaite(baseline, current), -gap / np.sqrt(total))
    return np.where(total > 0, p, np.where(gap > 0, 0.0, 1.0))


def satterthwaite(baseline: Summary, current: Summary) -> Array:
    """Welch's degrees of freedom of the difference of two means; the smaller side's if still."""
    parts = [s.variance / s.count for s in (baseline, current)]
    own = [np.asarray(s.degrees, dtype=np.float64) for s in (baseline, current)]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.square(parts[0] + parts[1]) / (
            np.square(parts[0]) / own[0] + np.square(parts[1]) / own[1]
        )
    return np.where(np.isfinite(freedom), freedom, np.minimum(own[0], own[1]))


def proportion_shift(baseline: Summary, current: Summary, confidence: float = 0.95) -> Effect:
    """Cohen's h = 2 asin √p1 - 2 asin √p0 of two proportions (the means), its interval and p.

    √n·2 asin √p has variance near 1 whatever p is, which gives both the interval and the test, by
    the normal distribution or, for dependent images, Student's t.
    """
    h = _angle(current.mean) - _angle(baseline.mean)
    error = np.sqrt(1 / np.asarray(baseline.count) + 1 / np.asarray(current.count))
    half = _quantile(baseline, current, confidence) * error
    freedom = _freedom(baseline, current)
    below = -np.abs(h) / error
    p = 2 * (special.ndtr(below) if freedom is None else special.stdtr(freedom, below))
    return Effect(h, h - half, h + half, p)


def false_discovery(p: Array) -> Array:
    """Benjamini-Yekutieli q-values, which hold under any dependence between the tests."""
    flat = np.asarray(p, dtype=np.float64).ravel()
    if flat.size == 0:
        return np.asarray(p, dtype=np.float64)
    return np.asarray(stats.false_discovery_control(flat, method="by")).reshape(np.shape(p))


def placements(baseline: Array, current: Array) -> tuple[Array, Array]:
    """[n] share of the current scores above each baseline score; [m] of the baseline's below each.

    From midranks (Sun and Xu, 2014), so ties count one half. Both average to the AUC.
    """
    n, m = len(baseline), len(current)
    ranks = stats.rankdata(np.concatenate([baseline, current]))
    below = (ranks[n:] - stats.rankdata(current)) / n
    above = 1 - (ranks[:n] - stats.rankdata(baseline)) / m
    return above, below


def delong(baseline: Array, current: Array) -> Auc:
    """AUC of current scores over baseline scores, with the standard error of DeLong et al. (1988).

    [n] and [m] scores, at least two of each.
    """
    above, below = placements(baseline, current)
    error = np.sqrt(below.var(ddof=1) / len(current) + above.var(ddof=1) / len(baseline))
    return Auc(float(below.mean()), float(error))


def detectable_effect(
    n: float,
    m: float,
    tests: int,
    alpha: float,
    power: float = 0.8,
    floor: float = 0.0,
    freedom: float = np.inf,
) -> float:
    """The d that a single change must have to be found among `tests` this often.

    Found means |effect| ≥ floor and q < alpha. One that drags others along is found more often, as
    Benjamini-Yekutieli asks less of each when several changed together; one that makes the values
    of the smaller side more varied is found less often.

    Args:
        n: effective number of images of the baseline; m of the current side.
        freedom: degrees of freedom of the error, which is few where there are few clusters.
    """
    error = float(np.sqrt(1 / n + 1 / m))
    least = max(_least_t(tests, alpha, freedom) * error, floor)
    return least + float(special.stdtrit(freedom, power)) * error


def detection_power(
    d: float,
    n: float,
    m: float,
    tests: int,
    alpha: float,
    floor: float = 0.0,
    freedom: float = np.inf,
) -> float:
    """How often a single change of d is found: the inverse of `detectable_effect`."""
    error = float(np.sqrt(1 / n + 1 / m))
    least = max(_least_t(tests, alpha, freedom), floor / error)
    return float(special.stdtr(freedom, abs(d) / error - least))


PROMISED, PLANNED = 0.8, 0.9
"""What is promised to be found four times in five is planned for nine in ten: unequal variances,
and permutations that must agree, cost up to a tenth of what the formula says."""


def promised_effect(
    n: float, m: float, tests: int, alpha: float, floor: float = 0.0, freedom: float = np.inf
) -> float:
    """The d that a single change must have to be found in PROMISED of all cases, with a margin."""
    return detectable_effect(n, m, tests, alpha, PLANNED, floor, freedom)


def as_auc(d: float) -> float:
    """The AUC that a difference of d standard deviations gives between two normal samples."""
    return float(special.ndtr(d / np.sqrt(2)))


def two_sided(z: float, freedom: float = np.inf) -> float:
    """The p-value of a standard normal z, or of Student's t."""
    return float(2 * special.stdtr(freedom, -abs(z)))


def _least_t(tests: int, alpha: float, freedom: float) -> float:
    """The |t| from which one test of so many has q < alpha when all others are silent."""
    harmonic = float(np.sum(1 / np.arange(1, tests + 1)))
    return float(-special.stdtrit(freedom, alpha / (2 * tests * harmonic)))


def _angle(proportion: Array) -> Array:
    return 2 * np.arcsin(np.sqrt(np.clip(proportion, 0, 1)))


def _known(side: Summary) -> Array | float:
    """count - 1, which for few effective images stays above 0."""
    return np.maximum(side.count - 1, 0.5)


def _freedom(baseline: Summary, current: Summary) -> Array | None:
    """Of the difference, where a side has degrees of freedom of its own."""
    if baseline.freedom is None and current.freedom is None:
        return None
    return satterthwaite(baseline, current)


def _quantile(baseline: Summary, current: Summary, confidence: float) -> Array | float:
    freedom = _freedom(baseline, current)
    if freedom is None:
        return float(special.ndtri((1 + confidence) / 2))
    found: Array = special.stdtrit(freedom, (1 + confidence) / 2)
    return found

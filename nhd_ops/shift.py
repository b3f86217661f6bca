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

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Summary:
    """Some numbers reduced to what the tests need; the fields broadcast against each other."""

    count: Array | float
    """How many numbers; for weighted ones the effective number, (Σw)²/Σw²."""
    mean: Array
    variance: Array
    """Unbiased (divided by count - 1)."""


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


def summary(values: Array, weights: Array | None = None) -> Summary:
    """Summary of the first axis: values [n,...], weights [n] (all equal by default)."""
    values = np.asarray(values, dtype=np.float64)
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
    13(2), equation 8), which allows unequal variances and sizes. Where neither side varies, d is 0
    if the means agree and infinite if not.
    """
    gap = current.mean - baseline.mean
    pooled = (baseline.variance + current.variance) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(gap == 0, 0.0, gap / np.sqrt(pooled))
        squared = sum(
            s.variance / (s.count - 1) / pooled
            + np.square(d * s.variance / pooled) / (8 * (s.count - 1))
            for s in (baseline, current)
        )
    half = _z(confidence) * np.sqrt(np.nan_to_num(squared, posinf=0.0))
    return Effect(d, d - half, d + half, welch(baseline, current))


def welch(baseline: Summary, current: Summary) -> Array:
    """Two-sided p of Welch's t-test; 1 where nothing varies and the means agree, 0 where not."""
    parts = [s.variance / s.count for s in (baseline, current)]
    total = parts[0] + parts[1]
    gap = np.abs(current.mean - baseline.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.square(total) / (
            np.square(parts[0]) / (baseline.count - 1) + np.square(parts[1]) / (current.count - 1)
        )
        p = 2 * special.stdtr(freedom, -gap / np.sqrt(total))
    return np.where(total > 0, p, np.where(gap > 0, 0.0, 1.0))


def proportion_shift(baseline: Summary, current: Summary, confidence: float = 0.95) -> Effect:
    """Cohen's h = 2 asin √p1 - 2 asin √p0 of two proportions (the means), its interval and p.

    √n·2 asin √p has variance near 1 whatever p is, which gives both the interval and the test.
    """
    h = _angle(current.mean) - _angle(baseline.mean)
    error = np.sqrt(1 / np.asarray(baseline.count) + 1 / np.asarray(current.count))
    half = _z(confidence) * error
    return Effect(h, h - half, h + half, 2 * special.ndtr(-np.abs(h) / error))


def false_discovery(p: Array) -> Array:
    """Benjamini-Yekutieli q-values, which hold under any dependence between the tests."""
    flat = np.asarray(p, dtype=np.float64).ravel()
    if flat.size == 0:
        return np.asarray(p, dtype=np.float64)
    return np.asarray(stats.false_discovery_control(flat, method="by")).reshape(np.shape(p))


def delong(baseline: Array, current: Array) -> Auc:
    """AUC of current scores over baseline scores, with the standard error of DeLong et al. (1988).

    Computed from midranks (Sun and Xu, 2014), so ties count one half; [n] and [m] scores, at least
    two of each.
    """
    n, m = len(baseline), len(current)
    ranks = stats.rankdata(np.concatenate([baseline, current]))
    below = (ranks[n:] - stats.rankdata(current)) / n  # [m], baseline scores below each current one
    above = 1 - (ranks[:n] - stats.rankdata(baseline)) / m  # [n]
    error = np.sqrt(below.var(ddof=1) / m + above.var(ddof=1) / n)
    return Auc(float(below.mean()), float(error))


def detectable_effect(
    n: int, m: int, tests: int, alpha: float, power: float = 0.8, floor: float = 0.0
) -> float:
    """The d that a single change must have to be found among `tests` this often.

    Found means |effect| ≥ floor and q < alpha. One that drags others along is found more often, as
    Benjamini-Yekutieli asks less of each when several changed together.
    """
    error = float(np.sqrt(1 / n + 1 / m))
    return max(_least_z(tests, alpha) * error, floor) + float(special.ndtri(power)) * error


def detection_power(
    d: float, n: int, m: int, tests: int, alpha: float, floor: float = 0.0
) -> float:
    """How often a single change of d is found: the inverse of `detectable_effect`."""
    error = float(np.sqrt(1 / n + 1 / m))
    return float(special.ndtr(abs(d) / error - max(_least_z(tests, alpha), floor / error)))


def as_auc(d: float) -> float:
    """The AUC that a difference of d standard deviations gives between two normal samples."""
    return float(special.ndtr(d / np.sqrt(2)))


def two_sided(z: float) -> float:
    """The p-value of a standard normal z."""
    return float(2 * special.ndtr(-abs(z)))


def _least_z(tests: int, alpha: float) -> float:
    """The |z| from which one test of so many has q < alpha when all others are silent."""
    harmonic = float(np.sum(1 / np.arange(1, tests + 1)))
    return float(-special.ndtri(alpha / (2 * tests * harmonic)))


def _angle(proportion: Array) -> Array:
    return 2 * np.arcsin(np.sqrt(np.clip(proportion, 0, 1)))


def _z(confidence: float) -> float:
    return float(special.ndtri((1 + confidence) / 2))

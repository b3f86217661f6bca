"""The shift of quantities that nothing but moments is kept of, and that may be skewed.

Where a small side meets a large one, Welch's t rests on the small side's own variance. Of skewed
values a small sample that happens to miss the tail has both its mean and its variance too low, so t
is large more often than Student's distribution says, most of all far out, where one of thousands of
tests is decided. The pooled variance hardly depends on the small side, but is wrong where variances
differ. Neither p is right alone; the larger of the two is.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from nhd_ops.shift import Array, Effect, Summary, mean_shift


def careful_shift(baseline: Summary, current: Summary, confidence: float = 0.95) -> Effect:
    """`mean_shift` with the larger p of Welch's test and of Student's."""
    found = mean_shift(baseline, current, confidence)
    return found._replace(p=np.maximum(found.p, student(baseline, current)))


def student(baseline: Summary, current: Summary) -> Array:
    """Two-sided p of Student's t-test, which pools the variances by their degrees of freedom.

    1 where nothing varies and the means agree, 0 where they do not.
    """
    own = [np.asarray(s.degrees, dtype=np.float64) for s in (baseline, current)]
    freedom = own[0] + own[1]
    pooled = (own[0] * baseline.variance + own[1] * current.variance) / freedom
    gap = np.abs(current.mean - baseline.mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = gap / np.sqrt(pooled * (1 / baseline.count + 1 / current.count))
    p = 2 * special.stdtr(freedom, -t)
    return np.where(pooled > 0, p, np.where(gap > 0, 0.0, 1.0))

"""The correlation of every pair with every binary label, exactly, from moments alone."""

from __future__ import annotations

import torch
from torch import Tensor

from nhd_ops.moments import Moments


def point_biserial(moments: Moments) -> Tensor:
    """r = (μ1 - μ0)/σ · √(n1 n0)/n, the point-biserial correlation.

    Source: nhd_ops/README.md, section 2; equal to `scipy.stats.pointbiserialr` on the stored
    coefficients.

    Returns:
        [L,H,C] fp64 in [-1,1]; NaN where the label is the same for all images or the
        coefficient does not vary.
    """
    count, count1 = moments.count, moments.labels.count1.double()[:, None, None]  # [L,1,1]
    count0 = count - count1
    sum0 = moments.pairs.mean * count - moments.labels.sum1
    difference = moments.labels.sum1 / count1 - sum0 / count0  # NaN where a side is empty
    spread = moments.pairs.variance().sqrt()
    r = difference / spread * (count1 * count0).sqrt() / count
    varies = spread > 1e-12 * moments.pairs.mean.abs()  # beyond the rounding of fp64
    return torch.where(varies, r.clamp(-1, 1), torch.nan)

"""Count, mean, M2 and histogram of every pair: moments that merge by Chan's update."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nhd_ops.histogram import histogram_of


@dataclass(frozen=True, eq=False)
class PairMoments:
    """The distribution of every pair's coefficient over some images."""

    count: int
    mean: Tensor
    """[H,C] fp64, of s."""
    m2: Tensor
    """[H,C] fp64, Σ (s - mean)²."""
    histogram: Tensor
    """[H,C,48] int32, of s·‖u‖ over `histogram.EDGES`."""

    def variance(self) -> Tensor:
        """[H,C]: the population variance of s (divided by count)."""
        return self.m2 / self.count


def centre(values: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over images in fp64, and the values minus it in their own dtype: [B,...].

    Rounding the mean to that dtype adds a relative 2⁻⁵⁰·(mean/std)² to fp32 second moments,
    which is below the rounding of the products themselves.
    """
    mean = values.mean(0, dtype=torch.float64)
    return mean, values - mean.to(values.dtype)


def pair_moments_of(coefficients: Tensor, norms: Tensor) -> PairMoments:
    """Moments of one batch: s [B,H,C], ‖u‖ [H,C]."""
    mean, centred = centre(coefficients)
    m2 = centred.square().sum(0, dtype=torch.float64)
    return PairMoments(len(coefficients), mean, m2, histogram_of(coefficients * norms))


def merge(a: PairMoments, b: PairMoments) -> PairMoments:
    """The moments of the images of both (Chan's update; nhd_ops/README.md, section 2)."""
    count = a.count + b.count
    delta = b.mean - a.mean
    return PairMoments(
        count,
        a.mean + delta * (b.count / count),
        a.m2 + b.m2 + delta.square() * (a.count * b.count / count),
        a.histogram + b.histogram,
    )

"""Count, mean, M2 and histogram of every pair: moments that merge by Chan's update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


class Centred(NamedTuple):
    """The values of a batch, and the same about their mean."""

    values: Tensor
    """[B,...]."""
    mean: Tensor
    """[...] fp64."""
    deviations: Tensor
    """[B,...], values - mean, in the dtype of the values."""


def centre(values: Tensor) -> Centred:
    """Values [B,...] with their mean over the images.

    Rounding the mean to the values' dtype adds a relative 2⁻⁵⁰·(mean/std)² to fp32 second
    moments, which is below the rounding of the products themselves.
    """
    mean = values.mean(0, dtype=torch.float64)
    return Centred(values, mean, values - mean.to(values.dtype))


def pair_moments_of(s: Centred, norms: Tensor) -> PairMoments:
    """Moments of one batch: coefficients [B,H,C], ‖u‖ [H,C]."""
    m2 = s.deviations.square().sum(0, dtype=torch.float64)
    return PairMoments(len(s.values), s.mean, m2, histogram_of(s.values * norms))


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

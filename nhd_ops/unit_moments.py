"""Co-moments and exemplars of units that are vectors of coefficients: neurons and heads.

A neuron's vector is its coefficient in each of the H heads; a head's is its value vector
W_v^h s^h, of width E. In both cases the contribution to the embedding is a fixed matrix times
the vector, and its norm is √(xᵀ G x) with that matrix's Gram G.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nhd_ops import extremes
from nhd_ops.pair_moments import Centred

IMAGES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class UnitMoments:
    """Mean, co-moments and the images of largest norm, for U units of W coefficients each."""

    count: int
    mean: Tensor
    """[U,W] fp64."""
    comoment: Tensor
    """[U,W,W] fp64, Σ (x - mean)(x - mean)ᵀ."""
    keys: Tensor
    """[U,50] int64, keys of the largest (uncentred) contribution norms; see `extremes`.

    Norms carry the rounding of their batch, so two images whose norms agree to 1e-6 may swap.
    """
    vectors: Tensor
    """[U,50,W], the vectors of those images; zero where a key is EMPTY."""

    def covariance(self) -> Tensor:
        """[U,W,W]: divided by count."""
        return self.comoment / self.count


def gram_norms(vectors: Tensor, gram: Tensor) -> Tensor:
    """√(xᵀ G x): vectors [U,B,W], Grams [U,W,W] → [U,B]."""
    squares: Tensor = torch.linalg.vecdot(vectors @ gram, vectors)
    return squares.clamp_min(0).sqrt()


def comoment_of(a: Tensor, b: Tensor) -> Tensor:
    """Σ over images of a bᵀ, in fp64: [U,B,V] and [U,B,W] → [U,V,W].

    Products are summed in the dtype of the inputs over 64 images at most, so that fp32 stays
    within 1e-6 whatever the batch size.
    """
    units, images, width = a.shape
    total = torch.zeros(units, width, b.shape[2], dtype=torch.float64, device=a.device)
    for start in range(0, images, IMAGES_AT_ONCE):
        block = slice(start, start + IMAGES_AT_ONCE)
        total += a[:, block].mT @ b[:, block]
    return total


def unit_moments_of(x: Centred, gram: Tensor, ids: Tensor, top: int) -> UnitMoments:
    """Moments of one batch, given unit by unit: vectors [U,B,W], Grams [U,W,W], image ids [B].

    Contiguous vectors make the products several times faster.
    """
    keys, rows = extremes.largest_at(gram_norms(x.values, gram).T, ids, top)
    best = x.values.take_along_dim(rows[..., None], dim=1)  # [U,top,W]
    best = best.masked_fill((keys == extremes.EMPTY)[..., None], 0)
    comoment = comoment_of(x.deviations, x.deviations)
    return UnitMoments(len(ids), x.mean, comoment, keys, best)


def merge(a: UnitMoments, b: UnitMoments) -> UnitMoments:
    """The moments of the images of both."""
    count = a.count + b.count
    delta = b.mean - a.mean
    keys, places = extremes.merge_at(a.keys, b.keys)
    both = torch.cat([a.vectors, b.vectors], dim=1)  # [U,100,W]
    between = delta[:, :, None] * delta[:, None, :] * (a.count * b.count / count)
    return UnitMoments(
        count,
        a.mean + delta * (b.count / count),
        a.comoment + b.comoment + between,
        keys,
        both.take_along_dim(places[..., None], dim=1),
    )


def relabel(moments: UnitMoments, starts_old: Tensor, starts_new: Tensor) -> UnitMoments:
    """Move image ids by an increasing map (so that vectors keep their places); see `extremes`."""
    return replace(moments, keys=extremes.relabel(moments.keys, starts_old, starts_new))

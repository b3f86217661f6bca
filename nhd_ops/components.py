"""Principal components of pairs, neurons and heads from moments: sign, ranking, directions.

A pair's contributions lie on one line, so its component is ±u/‖u‖ and only the sign is open.
For neurons and heads the components come from an eigenproblem of the size of the coefficient
vectors, never from materialised contributions (nhd_ops/README.md, section 3).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nhd_ops import extremes
from nhd_ops.contributions import Directions
from nhd_ops.moments import TOP, Moments
from nhd_ops.unit_moments import UnitMoments, gram_norms

PAIRS_AT_ONCE = 8192


class Components(NamedTuple):
    """The first k components of each of U units whose vectors have W coefficients."""

    weights: Tensor
    """[U,k,W] fp64: component = Σ_w weights·basis[w], of unit length; zero beyond the rank."""
    explained_variance_ratio: Tensor
    """[U,k] fp64; NaN for a unit that does not vary."""


class TopImages(NamedTuple):
    """For every pair the images of largest norm, largest first; n = min(k, count)."""

    ids: Tensor
    """[H·C,n] int64."""
    deviations: Tensor
    """[H·C,n] fp64, s - mean; s itself where norms are not centred."""


def top_images(moments: Moments, k: int = TOP, centred: bool = True) -> TopImages:
    """The images of largest |s - mean| of every pair, exactly: they are among its extremes.

    Args:
        k: at most 50.
        centred: or those of largest |s|, which are among the extremes as well.
    """
    k = min(k, moments.count)
    mean = moments.pairs.mean.flatten() * centred
    blocks = [slice(i, i + PAIRS_AT_ONCE) for i in range(0, len(mean), PAIRS_AT_ONCE)]
    found = [_top_images(moments.largest[b], moments.smallest[b], mean[b], k) for b in blocks]
    return TopImages(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def _top_images(largest: Tensor, smallest: Tensor, mean: Tensor, k: int) -> TopImages:
    high, high_ids = extremes.unpack(largest)
    low, low_ids = extremes.unpack(smallest)
    ids = torch.cat([high_ids, low_ids], dim=1)  # [P,100]
    deviations = torch.cat([high, -low], dim=1).double() - mean[:, None]
    # With fewer than 100 images, or many equal ones, an image can be in both lists.
    magnitude = deviations.abs().masked_fill(_repeated(ids) | (ids < 0), -1)
    order = magnitude.argsort(dim=1, descending=True, stable=True)[:, :k]
    return TopImages(ids.gather(1, order), deviations.gather(1, order))


def signs(moments: Moments, top: TopImages | None = None) -> Tensor:
    """The sign of every pair's component: [H,C] of ±1 (arXiv 2509.19943).

    +1 where more than half of the 50 images of largest centred norm have a positive centred
    coefficient; a tie gives -1. The norm of the direction scales all of a pair's images alike
    and plays no part. `top` is `top_images(moments)`, where it is known.
    """
    deviations = (top or top_images(moments)).deviations
    positive = (deviations > 0).sum(1) * 2 > deviations.shape[1]
    return torch.where(positive, 1.0, -1.0).view(moments.pairs.mean.shape)


def importance(moments: Moments, norms: Tensor, top: TopImages | None = None) -> Tensor:
    """Mean of the 50 largest centred contribution norms |s - mean|·‖u‖, given ‖u‖: [H,C] fp64.

    `top` is `top_images(moments)`, where it is known.
    """
    return (top or top_images(moments)).deviations.abs().mean(1).view(norms.shape) * norms


def unit_top_images(
    moments: UnitMoments, gram: Tensor, k: int, centred: bool = False
) -> tuple[Tensor, Tensor]:
    """The images of largest norm of neurons or heads, and these norms; n = min(k, 50, count).

    One pass keeps the 50 of largest *uncentred* norm, so these are exact.

    Args:
        gram: [U,W,W].
        centred: order those 50 by ‖r - r̄‖ instead. An image of large deviation and small norm
            is not among them, so these are a lower bound, not exact.
    Returns:
        ids [U,n] int64, norms [U,n] fp64; largest first.
    """
    ids = extremes.unpack(moments.keys)[1][:, : moments.count]
    vectors = moments.vectors[:, : moments.count].double()
    if centred:
        vectors = vectors - moments.mean[:, None]
    norms = gram_norms(vectors, gram.double())
    if not centred:  # as stored: norms computed again may tie otherwise
        return ids[:, :k], norms[:, :k]
    order = norms.argsort(dim=1, descending=True, stable=True)[:, :k]
    return ids.gather(1, order), norms.gather(1, order)


def unit_importance(moments: UnitMoments, gram: Tensor) -> Tensor:
    """Mean centred norm of the stored 50 images of largest uncentred norm: [U] fp64.

    Pairs take the 50 of largest centred norm, which one pass cannot know for neurons and heads.
    """
    return unit_top_images(moments, gram, TOP, centred=True)[1].mean(1)


def fitted_moments(
    moments: UnitMoments, fit_on: Literal["all", "top50"] = "all"
) -> tuple[Tensor, Tensor]:
    """The mean [U,W] and covariance [U,W,W], fp64, that components are fitted on.

    Args:
        fit_on: "all" images, or the stored "top50" of largest *uncentred* contribution norm. The
            published code takes the 50 of largest centred norm, which one pass cannot know.
    """
    if fit_on == "all":
        return moments.mean, moments.covariance()
    held = (moments.keys != extremes.EMPTY)[..., None]  # [U,50,1]
    count = held.sum(1, keepdim=True)  # [U,1,1]
    mean = moments.vectors.double().sum(1, keepdim=True) / count  # [U,1,W]
    centred = (moments.vectors.double() - mean) * held
    return mean.squeeze(1), centred.mT @ centred / count


def unit_components(covariance: Tensor, gram: Tensor, k: int) -> Components:
    """Components of the contributions xᵀA from the covariance S of x and the Gram G = A Aᵀ.

    If y is an eigenvector of S^½ G S^½ with eigenvalue λ, then Aᵀ S^½ y / √λ is the component
    of variance λ. Sign rule: the weight of largest magnitude is positive (the first, in a tie).

    Args:
        covariance: [U,W,W].
        gram: [U,W,W].
        k: how many components, at most W.
    """
    root = _square_root(covariance.double())
    middle = root @ gram.double() @ root
    values, vectors = torch.linalg.eigh((middle + middle.mT) / 2)
    values = values.flip(-1).clamp_min(0)  # [U,W], largest first
    weights = (root @ vectors.flip(-1)[..., :k]).mT  # [U,k,W]
    kept = values[..., :k]
    # Below this an eigenvalue is a rounding error of the largest one.
    real = kept > 1e-13 * values[..., :1]
    weights = weights / torch.where(real, kept, 1).sqrt()[..., None] * real[..., None]
    return Components(_fix_sign(weights), kept / values.sum(-1, keepdim=True))


def neuron_components(covariance: Tensor, gram: Tensor, k: int) -> Components:
    """Components of neurons: covariances [n,H,H] of s[:,n], Grams from `neuron_gram` [n,H,H]."""
    return unit_components(covariance, gram, k)


def head_components(covariance: Tensor, gram: Tensor, k: int) -> Components:
    """Components of heads: covariances [H,E,E] of value vectors, Grams from `head_gram`."""
    return unit_components(covariance, gram, k)


def pair_components(directions: Directions, pairs: Tensor, signs: Tensor) -> Tensor:
    """sign·u/‖u‖ of a list of pairs [P], given the signs [H,C]: [P,D]; zero where u is zero."""
    vectors = directions.vectors(pairs)
    norms = directions.norms().flatten()[pairs]
    return vectors * (signs.flatten()[pairs] / torch.where(norms > 0, norms, 1))[:, None]


def neuron_directions(directions: Directions, neurons: Tensor, weights: Tensor) -> Tensor:
    """Components of neurons [n] in the joint space: weights [n,k,H] → [n,k,D]."""
    return weights.to(directions.value.dtype) @ directions.neuron_vectors(neurons)


def head_directions(directions: Directions, weights: Tensor) -> Tensor:
    """Components of all heads in the joint space: weights [H,k,E] → [H,k,D]."""
    return weights.to(directions.output.dtype) @ directions.output.mT


def _repeated(ids: Tensor) -> Tensor:
    """Which ids [U,n] occur further left in their row."""
    sorted_ids, order = ids.sort(dim=1, stable=True)
    again = torch.zeros_like(ids, dtype=torch.bool)
    again[:, 1:] = sorted_ids[:, 1:] == sorted_ids[:, :-1]
    return torch.zeros_like(again).scatter(1, order, again)


def _square_root(matrices: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT
    return root


def _fix_sign(weights: Tensor) -> Tensor:
    largest = weights.abs().argmax(-1, keepdim=True)
    return torch.where(weights.gather(-1, largest) < 0, -weights, weights)

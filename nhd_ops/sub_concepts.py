"""Neurons whose heads read them as different things: how clear a case of sub-concepts each is.

A convincing case is a neuron of which several heads carry a part, each head firing on images that
are alike and that its direction describes, and both differing from head to head. All four must
hold, so they are multiplied (nhd_ops/README.md, section 3). Letters as in `contributions`; k heads
are compared per neuron, n exemplars each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops.polysemanticity import clarity


class StrongHeads(NamedTuple):
    """The heads of largest share of each neuron, largest first."""

    heads: Tensor
    """[C,k] int64."""
    shares: Tensor
    """[C,k]."""


class Cases(NamedTuple):
    """How clear a case of sub-concepts each neuron is, and why; higher is clearer."""

    score: Tensor
    """[C], Σ_{i≠j} p_i p_j d_ij, from 0 to 1 - 1/k."""
    dissimilarity: Tensor
    """[C,k,k], d_ij, from 0 to 1; 0 on the diagonal."""
    word_cosine: Tensor
    """[C,k,k], of the heads' signed directions."""
    image_cosine: Tensor
    """[C,k,k], of the heads' mean exemplars."""
    coherence: Tensor
    """[C,k], mean cosine of a head's exemplars with each other."""
    fit: Tensor
    """[C,k], cosine of a head's direction with its mean exemplar."""


def head_shares(covariance: Tensor, gram: Tensor) -> Tensor:
    """The part of the variance of c = Σ_h s_h u_h that is head h's: ⟨cov(r_h, c)⟩ / var(c).

    With the covariance S of s and the Gram G of u it is Σ_h' S_hh' G_hh' / tr(S G). The parts add
    up to 1; that of a head which cancels others is negative; all are 0 if nothing varies.

    Args:
        covariance: [...,H,H]; gram: [...,H,H].
    Returns:
        [...,H].
    """
    parts = (covariance * gram.to(covariance)).sum(-1)
    whole = parts.sum(-1, keepdim=True)
    return torch.where(whole > 0, parts / torch.where(whole > 0, whole, 1), 0)


def strong_heads(shares: Tensor, k: int) -> StrongHeads:
    """The k heads of largest share of each neuron [C,H] (all, if there are fewer)."""
    found = shares.topk(min(k, shares.shape[-1]), dim=-1)
    return StrongHeads(found.indices, found.values)


def cases(shares: Tensor, directions: Tensor, exemplars: Tensor) -> Cases:
    """Score every neuron by Rao's quadratic entropy of its strong heads.

    d_ij = words · images · √(q_i q_j), with words = 1 - cos of the directions and images = 1 - cos
    of the mean exemplars, both cut to [0,1] (opposite is no clearer than unrelated), and
    q = coherence · fit, each no less than 0. p are the shares, no less than 0: what the k heads do
    not carry counts as agreeing.

    Source: C. R. Rao, *Diversity and dissimilarity coefficients*, 1982, for Σ p_i p_j d_ij.

    Args:
        shares: [C,k].
        directions: [C,k,D], sign·u.
        exemplars: [C,k,n,D], embeddings less the mean embedding; n ≥ 2.
    """
    images = normalize(exemplars, dim=-1)
    middle = normalize(images.mean(-2), dim=-1)  # [C,k,D]
    words = normalize(directions, dim=-1)
    word_cosine, image_cosine = words @ words.mT, middle @ middle.mT
    coherence, fit = clarity(images), (words * middle).sum(-1)
    quality = (coherence.clamp_min(0) * fit.clamp_min(0)).sqrt()  # [C,k], √q
    apart = (1 - word_cosine).clamp(0, 1) * (1 - image_cosine).clamp(0, 1)
    dissimilarity = apart * quality[..., :, None] * quality[..., None, :]
    dissimilarity = dissimilarity * (1 - torch.eye(shares.shape[-1]).to(dissimilarity))
    p = shares.clamp_min(0).to(dissimilarity)
    score = (p[..., :, None] * p[..., None, :] * dissimilarity).sum((-2, -1))
    return Cases(score, dissimilarity, word_cosine, image_cosine, coherence, fit)


def overlap(ids: Tensor) -> Tensor:
    """Mean Jaccard index of the heads' exemplars: ids [C,k,n], unique in their row → [C].

    1 where all heads have the same images, 0 where no two share one; NaN for k = 1.
    """
    _, k, n = ids.shape
    same = ids[:, :, None, :, None] == ids[:, None, :, None, :]  # [C,k,k,n,n]
    shared = same.sum((-2, -1)).double()  # [C,k,k]
    jaccard = shared / (2 * n - shared)
    if k == 1:
        return jaccard.new_full((len(ids),), torch.nan)
    return (jaccard.sum((-2, -1)) - k) / (k * (k - 1))

"""Co-moments of the pairs with what is known of each image: concept similarities and labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nhd_ops.pair_moments import Centred, centre
from nhd_ops.unit_moments import comoment_of


@dataclass(frozen=True, eq=False)
class ConceptMoments:
    """How the images' similarities to Q concepts vary, alone and with every pair."""

    count: int
    mean: Tensor
    """[Q] fp64, of the similarity."""
    m2: Tensor
    """[Q] fp64."""
    pair_mean: Tensor
    """[H,C] fp64, of s (what merging the co-moment needs)."""
    comoment: Tensor
    """[Q,H,C] fp64, Σ (similarity - mean)(s - mean)."""


@dataclass(frozen=True, eq=False)
class LabelMoments:
    """For L binary labels: how many images have them, and the pairs' sums over those."""

    count1: Tensor
    """[L] int64."""
    sum1: Tensor
    """[L,H,C] fp64, Σ s over the images with label 1."""


def concept_moments_of(s: Centred, similarity: Tensor) -> ConceptMoments:
    """Moments of one batch: coefficients [B,H,C], similarities [B,Q]."""
    _, mean, deviations = centre(similarity.to(s.values.dtype))
    m2 = deviations.square().sum(0, dtype=torch.float64)
    comoment = _against(deviations, s.deviations)
    return ConceptMoments(len(s.values), mean, m2, s.mean, comoment)


def merge_concepts(a: ConceptMoments, b: ConceptMoments) -> ConceptMoments:
    """The moments of the images of both."""
    count = a.count + b.count
    weight = a.count * b.count / count
    delta, pair_delta = b.mean - a.mean, b.pair_mean - a.pair_mean
    between = delta[:, None, None] * pair_delta * weight
    return ConceptMoments(
        count,
        a.mean + delta * (b.count / count),
        a.m2 + b.m2 + delta.square() * weight,
        a.pair_mean + pair_delta * (b.count / count),
        a.comoment + b.comoment + between,
    )


def label_moments_of(s: Centred, labels: Tensor) -> LabelMoments:
    """Moments of one batch: coefficients [B,H,C], labels [B,L] bool."""
    count1 = labels.long().sum(0)
    # Sums of centred values: in fp32 the small difference of two groups would drown otherwise.
    sum1 = _against(labels.to(s.values.dtype), s.deviations) + count1[:, None, None] * s.mean
    return LabelMoments(count1, sum1)


def merge_labels(a: LabelMoments, b: LabelMoments) -> LabelMoments:
    """The moments of the images of both."""
    return LabelMoments(a.count1 + b.count1, a.sum1 + b.sum1)


def _against(targets: Tensor, deviations: Tensor) -> Tensor:
    """Σ over images of target · (s - mean): [B,Q] and [B,H,C] → [Q,H,C] fp64."""
    total = comoment_of(targets[None], deviations.flatten(1)[None])  # [1,Q,H·C]
    return total.view(-1, *deviations.shape[1:])

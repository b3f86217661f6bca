"""Means and co-moments of a few values per concept, fold by fold, merged by Chan's update.

V values: a concept's K candidates and, last, the image's similarity to it. F folds: parts of the
images by which a choice is made on some and judged on others (nhd_ops/README.md, section 6).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SecondMoments(NamedTuple):
    """Of the images of each fold; zero where a fold has none."""

    images: Tensor
    """[F] fp64."""
    mean: Tensor
    """[F,Q,V] fp64."""
    comoment: Tensor
    """[F,Q,V,V] fp64, Σ (x - mean)(x - mean)ᵀ."""


def second_moments_of(values: Tensor, fold: Tensor, folds: int) -> SecondMoments:
    """Moments of one batch.

    Args:
        values: [B,Q,V].
        fold: [B] int64, of each image, below `folds`.
    """
    x = values.double()
    parts = [_of_one(x[fold == number]) for number in range(folds)]
    return SecondMoments(*(torch.stack(columns) for columns in zip(*parts, strict=True)))


def _of_one(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(0) if len(x) else x.new_zeros(x.shape[1:])
    centred = (x - mean).permute(1, 2, 0)  # [Q,V,b]
    return x.new_tensor(len(x)), mean, centred @ centred.mT


def merge(a: SecondMoments, b: SecondMoments) -> SecondMoments:
    """The moments of the images of both (nhd_ops/README.md, section 2)."""
    images = a.images + b.images
    share = torch.where(images > 0, b.images / images.clamp_min(1), 0.0)
    delta = b.mean - a.mean
    between = delta[..., :, None] * delta[..., None, :] * (a.images * share)[:, None, None, None]
    return SecondMoments(
        images, a.mean + delta * share[:, None, None], a.comoment + b.comoment + between
    )


def pooled(moments: SecondMoments, folds: list[int]) -> SecondMoments:
    """The moments of some folds as those of a single one: F = 1."""
    parts = [SecondMoments(*(part[fold : fold + 1] for part in moments)) for fold in folds]
    total = parts[0]
    for part in parts[1:]:
        total = merge(total, part)
    return total

"""The pairs whose directions are most alike, from the factors of all directions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops import components
from nhd_ops.contributions import Directions

AT_ONCE = 64  # pairs; against the 147,456 of RN50x16 a block takes 75 MB in fp64


class Neighbours(NamedTuple):
    """For each of P pairs the k most alike, most alike first."""

    pairs: Tensor
    """[P,k] int64, never the pair itself."""
    cosines: Tensor
    """[P,k], of the signed directions; 0 where a direction is zero."""


def neighbours(directions: Directions, signs: Tensor, pairs: Tensor, k: int) -> Neighbours:
    """The k pairs of all H·C whose signed directions have the largest cosine with some pairs'.

    Directions stay factored and blocks of pairs are compared at a time, so nothing of the shape
    [H·C,D] or [H·C,H·C] is ever made.

    Args:
        signs: [H,C] of ±1.
        pairs: [P] int64.
    """
    norms = directions.norms()
    scale = signs / torch.where(norms > 0, norms, 1)  # [H,C]
    k = min(k, directions.pairs - 1)
    found = [_nearest(directions, signs, scale, block, k) for block in torch.split(pairs, AT_ONCE)]
    nearest, cosines = zip(*found, strict=True)
    return Neighbours(torch.cat(nearest), torch.cat(cosines))


def _nearest(
    directions: Directions, signs: Tensor, scale: Tensor, pairs: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    own = components.pair_components(directions, pairs, signs)  # [p,D]
    cosines = (directions.project(own) * scale).flatten(1)  # [p,H·C]
    cosines[torch.arange(len(pairs)), pairs] = -2  # below any cosine
    best = cosines.topk(k, dim=1)
    return best.indices, best.values.clamp(-1, 1)

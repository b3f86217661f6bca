"""Candidates for grounded concept pairs: pairs that follow a concept over images, and point at it.

Source: nhd_ops/README.md, section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops.concepts import alignments
from nhd_ops.contributions import Directions
from nhd_ops.moments import Moments

FLAT = 1e-12
"""A variance below this part of the mean's square is rounding: the quantity does not vary."""

AT_ONCE = 64  # concepts, each of which takes about 30 bytes per pair


class Candidates(NamedTuple):
    """For each concept the admitted pairs of largest correlation, largest first."""

    pairs: Tensor
    """[Q,K] int64."""
    r: Tensor
    """[Q,K] fp64, the coefficient's correlation with the similarity; 0 where no pair is left."""


def centred_texts(texts: Tensor) -> Tensor:
    """Unit texts [Q,D] less their mean, of unit length again; as they are where that leaves none.

    A single concept has nothing to be told apart from, nor have texts that are all the same.
    """
    centred = texts - texts.mean(0)
    sizes = centred.norm(dim=1, keepdim=True)
    return torch.where(sizes > 1e-6, normalize(centred, dim=1), texts)


def correlations(moments: Moments) -> Tensor:
    """Correlation over the images of every pair's s with every similarity: [Q,H,C] fp64.

    0 where the coefficient or the similarity does not vary.
    """
    count, concepts = moments.count, moments.concepts
    pairs = _varying(moments.pairs.m2, moments.pairs.mean, count)
    similarity = _varying(concepts.m2, concepts.mean, count)
    scale = (similarity[:, None, None] * pairs).rsqrt()
    return torch.where(scale.isfinite(), concepts.comoment * scale, 0.0).clamp(-1, 1)


def _varying(m2: Tensor, mean: Tensor, count: int) -> Tensor:
    """Second moments, 0 where they are no more than rounding."""
    return torch.where(m2 > FLAT * count * mean.square(), m2, 0.0)


def candidates(directions: Directions, texts: Tensor, r: Tensor, k: int) -> Candidates:
    """The k pairs of largest r among those with r > 0 and ⟨u, t_c⟩ > 0; lowest pair first in a tie.

    Args:
        texts: [Q,D], unit text embeddings.
        r: [Q,H,C], of `correlations`.
        k: cut to the number of pairs.
    """
    k = min(k, directions.pairs)
    blocks = zip(torch.split(centred_texts(texts), AT_ONCE), torch.split(r, AT_ONCE), strict=True)
    found = [_admitted(directions, towards, part, k) for towards, part in blocks]
    return Candidates(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def _admitted(directions: Directions, towards: Tensor, r: Tensor, k: int) -> tuple[Tensor, Tensor]:
    points = alignments(directions, towards) > 0  # [q,H,C]
    admitted = torch.where(points.to(r.device), r, 0.0).clamp_min(0).flatten(1)
    found, pairs = admitted.sort(dim=1, descending=True, stable=True)
    return pairs[:, :k], found[:, :k]

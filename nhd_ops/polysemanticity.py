"""How alike the images are that a unit fires on: inertia, clarity and polysemanticity.

All three take unit image embeddings [...,n,D] of the n images of largest norm (n = 10 in
arXiv 2509.19943) and return [...].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

ROUNDS = 20


def inertia(embeddings: Tensor) -> Tensor:
    """Σ_j ‖e_j - ē‖² = n(1 - ‖ē‖²), from 0 to n; lower is more monosemantic (arXiv 2509.19943)."""
    return (embeddings - embeddings.mean(-2, keepdim=True)).square().sum((-2, -1))


def clarity(embeddings: Tensor) -> Tensor:
    """Mean cosine over the pairs of different images (arXiv 2505.20229); n ≥ 2."""
    n = embeddings.shape[-2]
    return (embeddings.sum(-2).square().sum(-1) - n) / (n * (n - 1))


def polysemanticity(embeddings: Tensor) -> Tensor:
    """1 - cosine of the two centres of 2-means (arXiv 2505.20229); 0 if all images are equal.

    2-means starts from the two images of least cosine (the first such two), so it is
    deterministic.
    """
    centres = _farthest_two(embeddings)  # [...,2,D]
    for _ in range(ROUNDS):
        centres = _centres_of(embeddings, centres)
    first, second = normalize(centres, dim=-1).unbind(-2)
    return 1 - (first * second).sum(-1)


def _farthest_two(embeddings: Tensor) -> Tensor:
    n = embeddings.shape[-2]
    cosines = embeddings @ embeddings.mT  # [...,n,n]
    place = cosines.flatten(-2).argmin(-1)  # [...]
    both = torch.stack([place // n, place % n], dim=-1)  # [...,2]
    return embeddings.take_along_dim(both[..., None], dim=-2)


def _centres_of(embeddings: Tensor, centres: Tensor) -> Tensor:
    """One round of Lloyd's algorithm; a cluster that loses all its images keeps its centre."""
    member = one_hot(torch.cdist(embeddings, centres).argmin(-1), 2).to(embeddings)  # [...,n,2]
    sizes = member.sum(-2)[..., None]  # [...,2,1]
    means = member.mT @ embeddings / sizes.clamp_min(1)
    return torch.where(sizes > 0, means, centres)

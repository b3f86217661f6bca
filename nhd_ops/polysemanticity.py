"""How alike the images are that a unit fires on: inertia, clarity and polysemanticity.

All three take unit image embeddings [...,n,D] of the n images of largest norm (n = 10 in
arXiv 2509.19943) and return [...].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

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
    deterministic. A centre is a weighted sum of images, so all distances follow from the cosines
    of the images, and the embeddings are read once.
    """
    cosines = (embeddings @ embeddings.mT).double()  # [...,n,n]
    centres = _farthest_two(cosines)  # [...,2,n]
    for _ in range(ROUNDS):
        moved = _centres_of(cosines, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    inner = centres @ cosines @ centres.mT  # [...,2,2]
    lengths = inner.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().clamp_min(1e-12)
    return (1 - inner[..., 0, 1] / lengths.prod(-1)).to(embeddings.dtype)


def _farthest_two(cosines: Tensor) -> Tensor:
    """The two images of least cosine as centres: weights [...,2,n] of the images."""
    n = cosines.shape[-1]
    place = cosines.flatten(-2).argmin(-1)  # [...]
    both = torch.stack([place // n, place % n], dim=-1)  # [...,2]
    return one_hot(both, n).to(cosines.dtype)


def _centres_of(cosines: Tensor, centres: Tensor) -> Tensor:
    """One round of Lloyd's algorithm; a cluster that loses all its images keeps its centre."""
    inner = centres @ cosines  # [...,2,n]
    distances = torch.linalg.vecdot(inner, centres)[..., None] - 2 * inner  # less each ‖e‖²
    member = one_hot(distances.argmin(-2), 2).mT.to(cosines.dtype)  # [...,2,n]
    sizes = member.sum(-1, keepdim=True)  # [...,2,1]
    return torch.where(sizes > 0, member / sizes.clamp_min(1), centres)

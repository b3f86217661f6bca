"""How alike the images are that a unit fires on: inertia, clarity and polysemanticity.

All three take unit image embeddings [...,n,D] of the n images of largest norm (n = 10 in
arXiv 2509.19943) and return [...]. All three follow from the images' cosines, [...,n,n], and
`alikeness` computes these once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

ROUNDS = 20


class Alikeness(NamedTuple):
    """The three measures of the same images, each [...]."""

    inertia: Tensor
    clarity: Tensor
    polysemanticity: Tensor


def alikeness(embeddings: Tensor) -> Alikeness:
    """All three, in the dtype of the embeddings."""
    cosines = _cosines(embeddings)
    found = _inertia(cosines), _clarity(cosines), _polysemanticity(cosines)
    return Alikeness(*(measure.to(embeddings.dtype) for measure in found))


def inertia(embeddings: Tensor) -> Tensor:
    """Σ_j ‖e_j - ē‖² = n(1 - ‖ē‖²), from 0 to n; lower is more monosemantic (arXiv 2509.19943)."""
    return _inertia(_cosines(embeddings)).to(embeddings.dtype)


def clarity(embeddings: Tensor) -> Tensor:
    """Mean cosine over the pairs of different images (arXiv 2505.20229); n ≥ 2."""
    return _clarity(_cosines(embeddings)).to(embeddings.dtype)


def polysemanticity(embeddings: Tensor) -> Tensor:
    """1 - cosine of the two centres of 2-means (arXiv 2505.20229); 0 if all images are equal.

    2-means starts from the two images of least cosine (the first such two), so it is
    deterministic.
    """
    return _polysemanticity(_cosines(embeddings)).to(embeddings.dtype)


def share_below(pairs: Tensor, neurons: Tensor, counted: Tensor) -> Tensor:
    """Of each neuron's pairs that count, the share of lower value than the neuron's own.

    Args:
        pairs: [H,C], a measure of every pair.
        neurons: [C], the same of every neuron.
        counted: [H,C] bool.
    Returns:
        [C] fp64; NaN where no pair of the neuron counts.
    """
    return ((pairs < neurons) & counted).sum(0).double() / counted.sum(0)


def _cosines(embeddings: Tensor) -> Tensor:
    return (embeddings @ embeddings.mT).double()  # [...,n,n]


def _inertia(cosines: Tensor) -> Tensor:
    squares = cosines.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (squares - cosines.sum((-2, -1)) / cosines.shape[-1]).clamp_min(0)


def _clarity(cosines: Tensor) -> Tensor:
    n = cosines.shape[-1]
    return (cosines.sum((-2, -1)) - n) / (n * (n - 1))


def _polysemanticity(cosines: Tensor) -> Tensor:
    """A centre is a weighted sum of images, so distances to it follow from the cosines."""
    centres = _farthest_two(cosines)  # [...,2,n]
    for _ in range(ROUNDS):
        moved = _centres_of(cosines, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    inner = centres @ cosines @ centres.mT  # [...,2,2]
    lengths = inner.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().clamp_min(1e-12)
    return 1 - inner[..., 0, 1] / lengths.prod(-1)


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

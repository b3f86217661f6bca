"""Where in an image a coefficient comes from: its sum over tokens, token by token.

A coefficient is `s[h,n] = Σ_i a^h_i z_i[n]`, so its terms say how much each place of the grid adds.
Token 0 is the grid's mean and has no place; its term is kept apart. Together they are the
coefficient exactly (nhd_ops/README.md, section 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops.attention_pool import AttentionPool, attention, tokens_of


class SpatialMaps(NamedTuple):
    """What each place adds to P quantities of B images, or to a list [N] of quantities."""

    grid: Tensor
    """[B,P,g,g] or [N,g,g], the terms of tokens 1..g², row by row as in the image."""
    mean: Tensor
    """[B,P] or [N], the term of token 0."""

    def total(self) -> Tensor:
        """[B,P] or [N]: the quantities themselves."""
        return self.grid.sum((-2, -1)) + self.mean

    def combined(self, weights: Tensor) -> SpatialMaps:
        """Σ_p weights·map as one quantity: weights [P], or [B,P] for each image its own."""
        weights = weights.to(self.mean).expand(self.mean.shape)
        grid = (self.grid * weights[..., None, None]).sum(1, keepdim=True)
        return SpatialMaps(grid, (self.mean * weights).sum(1, keepdim=True))


class Attended(NamedTuple):
    """What all maps of some images are made of, computed once."""

    weights: Tensor
    """a [B,H,T]."""
    tokens: Tensor
    """z [B,T,C]."""


def attended(attnpool: AttentionPool, features: Tensor) -> Attended:
    """Attention and tokens of Z [B,C,g,g], after ReLU."""
    tokens = tokens_of(attnpool, features)
    return Attended(attention(attnpool, tokens), tokens)


def pair_maps(seen: Attended, images: Tensor, pairs: Tensor) -> SpatialMaps:
    """a^h_i z_i[n] of listed images and pairs, both [N] int64: maps [N,g,g] and [N].

    A list takes memory for what is in it alone, where B images by P pairs would be too many.
    """
    neurons = seen.tokens.shape[2]
    return _maps(seen.weights[images, pairs // neurons] * seen.tokens[images, :, pairs % neurons])


def neuron_maps_of(seen: Attended, images: Tensor, neurons: Tensor, gram: Tensor) -> SpatialMaps:
    """Where c = Σ_h s[h,n] u[h,n] comes from, of listed images and neurons, both [N] int64.

    Each place's vector is projected on the direction of the image's own c, so a head's map counts
    by ⟨u[h,n], c⟩ / ‖c‖, and what the heads cancel is not shown.

    Args:
        gram: [N,H,H], ⟨u[h,n], u[h',n]⟩ of each neuron.
    Returns:
        Maps [N,g,g] and [N], of total ‖c‖.
    """
    terms = seen.weights[images] * seen.tokens[images, :, neurons][:, None]  # [N,H,T]
    s = terms.sum(2)  # [N,H]
    inner = (s[:, None] @ gram.to(s)).squeeze(1)  # [N,H], ⟨u, c⟩
    norms = (inner * s).sum(1, keepdim=True).clamp_min(0).sqrt()  # [N,1]
    weights = inner / torch.where(norms > 0, norms, 1)
    return _maps((terms * weights[..., None]).sum(1))


def spatial_maps(attnpool: AttentionPool, features: Tensor, pairs: Tensor) -> SpatialMaps:
    """a^h_i z_i[n] of some pairs, of every image: their total is s[h,n].

    Args:
        features: Z [B,C,g,g], after ReLU.
        pairs: [P] int64, each head·C + neuron.
    """
    images = torch.arange(len(features), device=features.device)
    both = images.repeat_interleave(len(pairs)), pairs.to(images).repeat(len(images))
    found = pair_maps(attended(attnpool, features), *both)
    return SpatialMaps(*(part.view(len(images), len(pairs), *part.shape[1:]) for part in found))


def neuron_maps(
    attnpool: AttentionPool, features: Tensor, neuron: int, gram: Tensor
) -> SpatialMaps:
    """`neuron_maps_of` one neuron, of every image: [B,1,g,g], total ‖c‖; gram is [H,H]."""
    images = torch.arange(len(features), device=features.device)
    each = gram.expand(len(images), -1, -1)
    seen = attended(attnpool, features)
    found = neuron_maps_of(seen, images, torch.full_like(images, neuron), each)
    return SpatialMaps(*(part.unsqueeze(1) for part in found))


def heat(grid: Tensor, total: Tensor) -> Tensor:
    """What each place adds in the direction of the total: [...,g,g], [...] → at least 0."""
    return (grid * total.sign()[..., None, None]).clamp_min(0)


def _maps(terms: Tensor) -> SpatialMaps:
    """Terms of tokens [N,T] as maps."""
    side = math.isqrt(terms.shape[1] - 1)
    return SpatialMaps(terms[:, 1:].reshape(-1, side, side), terms[:, 0])

"""Where in an image a coefficient comes from: its sum over tokens, token by token.

A coefficient is `s[h,n] = Σ_i a^h_i z_i[n]`, so its terms say how much each place of the grid adds.
Token 0 is the grid's mean and has no place; its term is kept apart. Together they are the
coefficient exactly (nhd_ops/README.md, section 1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops.attention_pool import AttentionPool, attention, tokens_of


class SpatialMaps(NamedTuple):
    """What each place adds to P quantities of B images."""

    grid: Tensor
    """[B,P,g,g], the terms of tokens 1..g², row by row as in the image."""
    mean: Tensor
    """[B,P], the term of token 0."""

    def total(self) -> Tensor:
        """[B,P]: the quantities themselves."""
        return self.grid.sum((-2, -1)) + self.mean

    def combined(self, weights: Tensor) -> SpatialMaps:
        """Σ_p weights·map as one quantity: weights [P], or [B,P] for each image its own."""
        weights = weights.to(self.mean).expand(self.mean.shape)
        grid = (self.grid * weights[..., None, None]).sum(1, keepdim=True)
        return SpatialMaps(grid, (self.mean * weights).sum(1, keepdim=True))


def spatial_maps(attnpool: AttentionPool, features: Tensor, pairs: Tensor) -> SpatialMaps:
    """a^h_i z_i[n] of some pairs: their total is s[h,n].

    Args:
        features: Z [B,C,g,g], after ReLU.
        pairs: [P] int64, each head·C + neuron.
    """
    images, neurons, height, width = features.shape
    tokens = tokens_of(attnpool, features)  # [B,T,C]
    weights = attention(attnpool, tokens)[:, pairs // neurons]  # [B,P,T]
    terms = weights * tokens[:, :, pairs % neurons].mT
    return SpatialMaps(terms[..., 1:].view(images, len(pairs), height, width), terms[..., 0])


def neuron_maps(
    attnpool: AttentionPool, features: Tensor, neuron: int, gram: Tensor
) -> SpatialMaps:
    """Where a neuron's contribution c = Σ_h s[h,n] u[h,n] comes from: [B,1,g,g], total ‖c‖.

    Each place's vector is projected on the direction of the image's own c, so a head's map counts
    by ⟨u[h,n], c⟩ / ‖c‖, and what the heads cancel is not shown.

    Args:
        gram: [H,H], ⟨u[h,n], u[h',n]⟩ of this neuron.
    """
    neurons = features.shape[1]
    pairs = torch.arange(len(gram), device=features.device) * neurons + neuron
    maps = spatial_maps(attnpool, features, pairs)
    s = maps.total()  # [B,H]
    inner = s @ gram.to(s)  # [B,H], ⟨u, c⟩
    norms = (inner * s).sum(1, keepdim=True).clamp_min(0).sqrt()  # [B,1]
    return maps.combined(inner / torch.where(norms > 0, norms, 1))

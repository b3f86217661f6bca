"""Units reduced to fixed directions of the joint space: what each of these keeps of the images.

A unit's centred contribution projected on a unit vector pc is ⟨r - r̄, pc⟩ pc. With the unit's
principal components this is the rank-k reconstruction, summed over k; with the normalised
reconstruction of a sparse code it is what the words keep (arXiv 2509.19943; nhd_ops/README.md,
section 4). All functions return shifts from the mean embedding, one for each of K directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nhd_ops.contributions import NEURONS_AT_ONCE, Directions


@dataclass(frozen=True, eq=False)
class NeuronProjections:
    """Every neuron's K directions."""

    along: Tensor
    """[K,H,C], ⟨u[h,n], pc⟩."""
    vectors: Tensor
    """[K,C,D], pc."""

    def shifts(self, centred: Tensor) -> Tensor:
        """What each direction keeps: s - s̄ [B,H,C] → [K,B,D], summed over the neurons."""
        size = torch.einsum("bhc,khc->kbc", centred, self.along)
        return size @ self.vectors


@dataclass(frozen=True, eq=False)
class HeadProjections:
    """Every head's K directions."""

    value: Tensor
    """[H,E,C], W_v."""
    along: Tensor
    """[H,E,K], W_oᵀ pc."""
    vectors: Tensor
    """[H,K,D], pc."""

    def shifts(self, centred: Tensor) -> Tensor:
        """What each direction keeps: s - s̄ [B,H,C] → [K,B,D], summed over the heads."""
        size = centred.transpose(0, 1) @ self.value.mT @ self.along  # [H,B,K]
        return torch.einsum("hbk,hkd->kbd", size, self.vectors)


def neuron_projections(directions: Directions, vectors: Tensor) -> NeuronProjections:
    """Project every neuron on its own directions: [C,K,D], unit vectors (or zero)."""
    neurons = torch.arange(directions.neurons, device=vectors.device)
    blocks = [
        directions.neuron_vectors(block) @ vectors[block].mT  # [n,H,K]
        for block in torch.split(neurons, NEURONS_AT_ONCE)
    ]
    along = torch.cat(blocks).permute(2, 1, 0).contiguous()
    return NeuronProjections(along, vectors.transpose(0, 1).contiguous())


def head_projections(directions: Directions, vectors: Tensor) -> HeadProjections:
    """Project every head on its own directions: [H,K,D], unit vectors (or zero)."""
    along = directions.output.mT @ vectors.mT
    return HeadProjections(directions.value, along, vectors)


def pair_scales(directions: Directions, components: Tensor, pairs: Tensor) -> Tensor:
    """What rank-1 reconstruction multiplies the centred coefficients of pairs [P] by: [P].

    ⟨s u, pc⟩ pc = s·scale·u with scale = ⟨u, pc⟩²/‖u‖², computed from u and pc [P,D] as they are.
    That it is 1 for `components.pair_components`, whatever the images, is the identity: pairs
    have rank 1. It is 0 where u is zero.
    """
    vectors = directions.vectors(pairs)
    squares = vectors.square().sum(1)
    inner = (vectors * components).sum(1)
    return inner.square() / torch.where(squares > 0, squares, 1)

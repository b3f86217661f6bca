"""The central value: per-image coefficients, and the factored directions that they multiply.

The letters, everywhere in the project:

    B images          T tokens (grid² + 1)        C neurons (channels of the last feature map)
    H heads           E = C/H head width          D joint embedding width
    U units           Q concepts                  K dictionary atoms
    m atoms of a code P a list of pairs           pair = head·C + neuron

An embedding is a sum over pairs, `M(I) = Σ_{h,n} s[h,n](I) u[h,n] + b*`, in which the
coefficient s is one scalar per image and the direction `u[h,n] = W_o^h W_v^h[:,n]` depends on
weights only (arXiv 2509.19943, section 3; nhd_ops/README.md, section 1). The directions stay
factored: no tensor here has the shape [..,H,C,D].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

NEURONS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Directions:
    """All u[h,n], as the two matrices whose product they are, and the constant b*."""

    value: Tensor
    """[H,E,C], W_v^h: from the last feature map into the value space of each head."""
    output: Tensor
    """[H,D,E], W_o^h: from the value space of each head into the joint space."""
    value_bias: Tensor
    """[H,E], b_v^h."""
    offset: Tensor
    """[D], b* = Σ_h W_o^h b_v^h + b_o: what every embedding contains, whatever the image."""

    @property
    def heads(self) -> int:
        """H."""
        return self.value.shape[0]

    @property
    def neurons(self) -> int:
        """C."""
        return self.value.shape[2]

    @property
    def width(self) -> int:
        """D."""
        return self.output.shape[1]

    @property
    def pairs(self) -> int:
        """H·C."""
        return self.heads * self.neurons

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Directions:
        """The same directions on another device or in another floating type."""
        return Directions(
            self.value.to(device=device, dtype=dtype),
            self.output.to(device=device, dtype=dtype),
            self.value_bias.to(device=device, dtype=dtype),
            self.offset.to(device=device, dtype=dtype),
        )

    def head_gram(self) -> Tensor:
        """[H,E,E]: W_o^hᵀ W_o^h, so that ‖W_o^h v‖² = vᵀ G v."""
        return self.output.mT @ self.output

    def norms(self) -> Tensor:
        """[H,C]: ‖u‖, from the heads' Grams; computed once, in fp64."""
        return self._norms

    @cached_property
    def _norms(self) -> Tensor:
        value, output = self.value.double(), self.output.double()
        gram = output.mT @ output  # [H,E,E]
        squares = (value * (gram @ value)).sum(1)  # [H,C]
        return squares.clamp_min(0).sqrt().to(self.value.dtype)

    def vectors(self, pairs: Tensor) -> Tensor:
        """The directions of a list of pairs.

        Args:
            pairs: [P] int64, each head·C + neuron; any order, repeats allowed.
        Returns:
            [P,D], not normalised.
        """
        head, neuron = pairs // self.neurons, pairs % self.neurons
        vectors = self.value.new_empty(len(pairs), self.width)  # [P,D]
        for one in set(head.tolist()):
            rows = (head == one).nonzero().squeeze(1)
            vectors[rows] = self.value[one][:, neuron[rows]].T @ self.output[one].T
        return vectors

    def neuron_vectors(self, neurons: Tensor) -> Tensor:
        """[n,H,D]: the directions of the given neurons ([n] int64) in every head."""
        value = self.value[:, :, neurons].permute(0, 2, 1)  # [H,n,E]
        return (value @ self.output.mT).transpose(0, 1)

    def neuron_gram(self, neurons: Tensor | None = None) -> Tensor:
        """[n,H,H]: inner products of each neuron's directions; of all neurons by default."""
        if neurons is None:
            neurons = torch.arange(self.neurons, device=self.value.device)
        blocks = [self.neuron_vectors(block) for block in torch.split(neurons, NEURONS_AT_ONCE)]
        return torch.cat([vectors @ vectors.mT for vectors in blocks])

    def project(self, texts: Tensor) -> Tensor:
        """⟨u, t⟩ for every pair: texts [Q,D] → [Q,H,C]."""
        through = torch.einsum("qd,hde->hqe", texts, self.output)
        return (through @ self.value).transpose(0, 1)

    def head_values(self, coefficients: Tensor) -> Tensor:
        """W_v^h s^h, without b_v^h: coefficients [B,H,C] → [B,H,E]."""
        per_head = coefficients.transpose(0, 1) @ self.value.mT  # [H,B,E]
        return per_head.transpose(0, 1)

    def total(self, coefficients: Tensor) -> Tensor:
        """Σ s u + b*, which is encode_image before normalisation: [B,H,C] → [B,D]."""
        values = self.head_values(coefficients)  # [B,H,E]
        return torch.einsum("bhe,hde->bd", values, self.output) + self.offset

    @cached_property
    def _bias_shares(self) -> tuple[Tensor, Tensor]:
        """⟨u, β^h⟩ [H,C] and ‖β^h‖² [H,1] for β^h = W_o^h b_v^h / C + b_o / (C·H)."""
        through = torch.einsum("hde,he->hd", self.output, self.value_bias)  # [H,D]
        output_bias = self.offset - through.sum(0)  # [D], b_o
        share = through / self.neurons + output_bias / self.pairs  # [H,D], β
        inner = torch.einsum("hd,hde,hec->hc", share, self.output, self.value)
        return inner, share.square().sum(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Contributions:
    """What every pair adds to the embeddings of some images: r[h,n](I) = s[h,n](I) u[h,n]."""

    coefficients: Tensor
    """[B,H,C], s."""
    directions: Directions

    def norms(self, bias_share: bool = False) -> Tensor:
        """‖r‖ for every image and pair.

        Args:
            bias_share: add to each pair the constant W_o^h b_v^h / C + b_o / (C·H), as the
                code published with arXiv 2509.19943 does (nhd_ops/README.md, section 1).
        Returns:
            [B,H,C], in units of the joint space.
        """
        norms = self.directions.norms()
        if not bias_share:
            return self.coefficients.abs() * norms
        inner, square = self.directions._bias_shares
        linear = 2 * self.coefficients * inner
        squares = self.coefficients.square() * norms.square() + linear + square
        return squares.clamp_min(0).sqrt()

    def total(self) -> Tensor:
        """[B,D]: the embeddings, offset included."""
        return self.directions.total(self.coefficients)

    def project(self, texts: Tensor) -> Tensor:
        """⟨M, t⟩, offset included: texts [Q,D] → [B,Q]."""
        return self.total() @ texts.T

    def mean_ablate(self, keep: Tensor, mean: Tensor) -> Contributions:
        """Replace the coefficients of some pairs by their means.

        Args:
            keep: [H,C] bool, the pairs that stay as they are.
            mean: [H,C], the coefficients' means over a data set.
        """
        coefficients = torch.where(keep, self.coefficients, mean.to(self.coefficients.dtype))
        return replace(self, coefficients=coefficients)

"""Training-free segmentation by neuron-head pairs: the product of neuron and head maps.

Source: arXiv 2509.19943; nhd_ops/README.md, section 7. Letters as in `token_maps`. For a class p
with its k pairs A_p,

    logit_p(i) = (1/k) Σ_{(n,h) in A_p} Z_i[n] · L^h_i(p) = (1/k) Σ_h L^h_i(p) · (A_p^h · Z_i)

The right-hand side needs one product of the binary A [P·H,C] with Z, and no pair is ever gathered.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops import extremes
from nhd_ops.concepts import alignments
from nhd_ops.contributions import Directions
from nhd_ops.sink import repair

SHARE = 20_000 / 147_456
"""The part of all pairs that the paper takes per class, on RN50x16."""
CLASSES_AT_ONCE = 16


def class_texts(texts: Tensor) -> Tensor:
    """Unit text embeddings [P,D], minus their mean over the classes, of unit length again."""
    return normalize(texts - texts.mean(0), dim=1)


def usual_k(pairs: int) -> int:
    """The paper's share of this many pairs, at least 1."""
    return max(1, round(pairs * SHARE))


def top_pairs(directions: Directions, texts: Tensor, k: int) -> Tensor:
    """A: the k pairs of largest ⟨u/‖u‖, t_p⟩ of each class, the lowest pair first in a tie.

    Args:
        texts: [P,D], from `class_texts`.
    Returns:
        [P,H,C] bool, k of them true for each class.
    Raises:
        ValueError: k is below 1 or above the number of pairs.
    """
    if not 1 <= k <= directions.pairs:
        raise ValueError(f"k is {k}, but must lie between 1 and the {directions.pairs} pairs.")
    everyone = torch.arange(directions.pairs, device=texts.device)
    chosen = torch.zeros(len(texts), directions.pairs, dtype=torch.bool, device=texts.device)
    for start in range(0, len(texts), CLASSES_AT_ONCE):
        block = slice(start, start + CLASSES_AT_ONCE)
        keys = extremes.largest(alignments(directions, texts[block]).flatten(1).T, everyone, k)
        chosen[block] = chosen[block].scatter(1, extremes.unpack(keys)[1], True)
    return chosen.view(len(texts), directions.heads, directions.neurons)


def neuron_maps(features: Tensor, sink_repair: bool = True, unit_tokens: bool = False) -> Tensor:
    """Z without positions, token by token: Z [B,C,rows,columns] → [C,B,N].

    Args:
        sink_repair: take for the bottom-right token the mean of its neighbours.
        unit_tokens: scale every Z_i to unit length (ours, not the paper's). At the token itself
            this changes no decision, but where windows overlap their tokens count the same.
    """
    grid = features.permute(1, 0, 2, 3)[..., None]  # [C,B,rows,columns,1]
    maps = (repair(grid) if sink_repair else grid).flatten(2)
    return normalize(maps, dim=0) if unit_tokens else maps


def product(neurons: Tensor, heads: Tensor, chosen: Tensor) -> Tensor:
    """The paper's logits: (1/k) Σ over a class's pairs of Z_i[n] · L^h_i(p).

    Args:
        neurons: [C,B,N], from `neuron_maps`.
        heads: [H,B,N,P], L.
        chosen: [P,H,C] bool, A: k pairs of each class.
    Returns:
        [B,P,N].
    """
    sums = _sums(chosen.flatten(0, 1), neurons)  # [P·H,B,N]
    sums = sums.view(*chosen.shape[:2], *sums.shape[1:])  # [P,H,B,N]
    logits: Tensor = torch.einsum("phbn,hbnp->bpn", sums, heads) / _count(chosen)
    return logits


def neurons_only(neurons: Tensor, chosen: Tensor) -> Tensor:
    """`product` with every head map replaced by 1: the mean of Z_i[n] over a class's pairs."""
    return _sums(chosen.sum(1), neurons).transpose(0, 1) / _count(chosen)


def heads_only(heads: Tensor, chosen: Tensor) -> Tensor:
    """`product` with every neuron map replaced by 1: the mean of L^h_i(p) over a class's pairs."""
    shares = chosen.sum(2).to(heads.dtype) / _count(chosen)  # [P,H]
    logits: Tensor = torch.einsum("ph,hbnp->bpn", shares, heads)
    return logits


def _sums(chosen: Tensor, neurons: Tensor) -> Tensor:
    """Of each row of `chosen` [R,C] the weighted sum of Z: [R,B,N]."""
    return (chosen.to(neurons.dtype) @ neurons.flatten(1)).view(-1, *neurons.shape[1:])


def _count(chosen: Tensor) -> float:
    return float(chosen[0].sum())

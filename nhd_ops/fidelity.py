"""How much of the embedding, and of its zero-shot accuracy, simpler contributions preserve.

Source: arXiv 2509.19943, nhd_ops/README.md, section 4. Mean ablation is
`Contributions.mean_ablate`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops.contributions import Contributions

PAIRS_AT_ONCE = 16384


def reconstruct_pairs(contributions: Contributions, mean: Tensor, components: Tensor) -> Tensor:
    """Embeddings from the rank-1 form r̂ = r̄ + ⟨r - r̄, pc⟩ pc of every pair.

    With the pairs' own components this is the identity; with the reconstructions of their
    sparse codes it measures what the codes explain.

    Args:
        mean: [H,C], of the coefficients over a data set.
        components: [H·C,D], one unit vector per pair.
    Returns:
        [B,D], offset included.
    """
    directions = contributions.directions
    centred = (contributions.coefficients - mean.to(contributions.coefficients)).flatten(1)
    total = directions.total(mean.to(contributions.coefficients)[None])  # [1,D]
    pairs = torch.arange(directions.pairs, device=components.device)
    for block in torch.split(pairs, PAIRS_AT_ONCE):
        along = (directions.vectors(block) * components[block]).sum(1)  # [P], ⟨u, pc⟩
        total = total + (centred[:, block] * along) @ components[block]
    return total


def reconstruct_neurons(
    contributions: Contributions, mean: Tensor, weights: Tensor, gram: Tensor
) -> Contributions:
    """The rank-k form r̂ = r̄ + Σ_k ⟨r - r̄, pc_k⟩ pc_k of every neuron, as coefficients.

    Args:
        mean: [H,C], of the coefficients over the images that the components were fitted on.
        weights: [C,k,H], the neurons' components; see `components.Components`.
        gram: [C,H,H], from `neuron_gram`.
    """
    coefficients = contributions.coefficients
    mean, weights, gram = (part.to(coefficients) for part in (mean, weights, gram))
    centred = (coefficients - mean).permute(2, 0, 1)  # [C,B,H]
    along = centred @ (gram @ weights.mT)  # [C,B,k]
    return replace(contributions, coefficients=mean + (along @ weights).permute(1, 2, 0))


def zero_shot(embeddings: Tensor, class_texts: Tensor) -> Tensor:
    """The class of largest cosine: embeddings [B,D], unit class texts [Q,D] → [B] int64."""
    return (normalize(embeddings, dim=1) @ class_texts.T).argmax(1)

"""Concept pairs, chosen by text, and the three numbers they give per image and concept.

Source: arXiv 2509.19943; nhd_ops/README.md, section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops import extremes
from nhd_ops.contributions import Directions


class ConceptPairs(NamedTuple):
    """The pairs whose directions point most at each concept."""

    pairs: Tensor
    """[Q,k] int64, best first; pair = head·C + neuron."""
    projection: Tensor
    """[Q,k], ⟨u, t⟩ of the unnormalised, unsigned directions."""
    gram: Tensor
    """[Q,k,k], inner products of the unnormalised directions."""


class Measures(NamedTuple):
    """What is reported of each image and concept."""

    share: Tensor
    """[B,Q], ‖Σ r‖ / ‖M‖ over the concept's pairs; unsigned, in the published sense."""
    score: Tensor
    """[B,Q], ⟨Σ (r - r̄), t⟩ / ‖M‖ over the concept's pairs; signed."""
    similarity: Tensor
    """[B,Q], cos(M, t): what one would use without any decomposition."""


def alignments(directions: Directions, texts: Tensor, signs: Tensor | None = None) -> Tensor:
    """⟨sign·u/‖u‖, t⟩ of every pair with texts [Q,D]: [Q,H,C], 0 where u is 0."""
    return _aligned(directions, directions.project(texts), signs)


def _aligned(directions: Directions, projection: Tensor, signs: Tensor | None) -> Tensor:
    norms = directions.norms()
    alignment = projection / torch.where(norms > 0, norms, 1)
    return alignment if signs is None else alignment * signs


def concept_pairs(
    directions: Directions, texts: Tensor, k: int = 5, signs: Tensor | None = None
) -> ConceptPairs:
    """The k pairs of largest ⟨sign·u/‖u‖, t⟩ for each concept; the lowest pair wins a tie.

    Args:
        texts: [Q,D], unit text embeddings.
        signs: [H,C] of ±1, as `components.signs` gives; all +1 by default.
    Raises:
        ValueError: k is larger than the number of pairs.
    """
    if k > directions.pairs:
        raise ValueError(f"k is {k}, but there are only {directions.pairs} pairs: choose less.")
    projection = directions.project(texts)  # [Q,H,C]
    alignment = _aligned(directions, projection, signs)
    everyone = torch.arange(directions.pairs, device=texts.device)
    keys = extremes.largest(alignment.flatten(1).T, everyone, k)  # [Q,k]
    return pairs_for(directions, projection, extremes.unpack(keys)[1])


def pairs_for(directions: Directions, projection: Tensor, pairs: Tensor) -> ConceptPairs:
    """Concept pairs chosen by any rule: ⟨u,t⟩ of every pair [Q,H,C], and pairs [Q,k]."""
    vectors = directions.vectors(pairs.flatten()).view(*pairs.shape, directions.width)  # [Q,k,D]
    chosen = projection.flatten(1).gather(1, pairs)
    return ConceptPairs(pairs, chosen, vectors @ vectors.mT)


def measures(
    coefficients: Tensor,
    embedding: Tensor,
    concept_pairs: ConceptPairs,
    texts: Tensor,
    mean: Tensor | None = None,
) -> Measures:
    """Share, score and similarity of some images to all concepts.

    Args:
        coefficients: [B,H,C].
        embedding: [B,D], encode_image, unnormalised.
        texts: [Q,D], the unit texts that the pairs were chosen for.
        mean: [H,C], of the coefficients over a reference set; scores are uncentred without it.
    """
    size = embedding.norm(dim=1, keepdim=True)  # [B,1]
    values = coefficients.flatten(1)[:, concept_pairs.pairs]  # [B,Q,k]
    squares = torch.einsum("bqk,qkl,bql->bq", values, concept_pairs.gram, values)
    centred = values if mean is None else values - mean.to(values).flatten()[concept_pairs.pairs]
    score = (centred * concept_pairs.projection).sum(-1)  # [B,Q]
    similarity = normalize(embedding, dim=1) @ texts.T
    return Measures(squares.clamp_min(0).sqrt() / size, score / size, similarity)

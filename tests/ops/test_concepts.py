"""Concept pairs and measures agree with materialised contributions."""

from __future__ import annotations

import pytest
import torch

from nhd_ops.concepts import concept_pairs, measures
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close
DIRECTIONS = random_world.directions()
VECTORS = reference.materialise(DIRECTIONS).flatten(0, 1)  # [H·C,D]
TEXTS = random_world.unit(4, DIRECTIONS.width)


@pytest.mark.parametrize("signed", [False, True])
def test_concept_pairs_are_those_of_largest_signed_alignment(signed):
    signs = (
        torch.randn(3, 24, generator=torch.Generator().manual_seed(0)).sign() if signed else None
    )
    found = concept_pairs(DIRECTIONS, TEXTS, k=6, signs=signs)
    unit = VECTORS / VECTORS.norm(dim=1, keepdim=True)
    alignment = TEXTS @ unit.T * (signs.flatten() if signed else 1)
    assert torch.equal(found.pairs, alignment.argsort(dim=1, descending=True)[:, :6])
    own = VECTORS[found.pairs]  # [Q,k,D]
    close(found.projection, torch.einsum("qkd,qd->qk", own, TEXTS))
    close(found.gram, own @ own.mT)


def test_ties_go_to_the_lowest_pair():
    value = DIRECTIONS.value.clone()
    value[2, :, 9] = value[2, :, 4] = 2 * value[2, :, 20]
    tied = type(DIRECTIONS)(value, DIRECTIONS.output, DIRECTIONS.value_bias, DIRECTIONS.offset)
    text = torch.nn.functional.normalize(tied.vectors(torch.tensor([48 + 4])), dim=1)
    assert concept_pairs(tied.to(dtype=torch.float32), text.float(), k=3).pairs.tolist() == [
        [48 + 4, 48 + 9, 48 + 20]
    ]


def test_measures_agree_with_materialised_contributions():
    s, mean = random_world.coefficients(7), random_world.coefficients(50, seed=9).mean(0)
    embedding = DIRECTIONS.total(s)
    found = concept_pairs(DIRECTIONS, TEXTS)
    size = embedding.norm(dim=1)
    for used in (None, mean):
        share, score, similarity = measures(s, embedding, found, TEXTS, used)
        for q, text in enumerate(TEXTS):
            chosen = found.pairs[q]
            r = s.flatten(1)[:, chosen, None] * VECTORS[chosen]  # [B,k,D]
            close(share[:, q], r.sum(1).norm(dim=1) / size)
            if used is not None:
                r = r - mean.flatten()[chosen, None] * VECTORS[chosen]
            close(score[:, q], r.sum(1) @ text / size)
            close(similarity[:, q], torch.cosine_similarity(embedding, text[None]))


def test_all_pairs_together_explain_the_whole_similarity():
    s = random_world.coefficients(7)
    embedding = DIRECTIONS.total(s)
    share, score, similarity = measures(s, embedding, concept_pairs(DIRECTIONS, TEXTS, k=72), TEXTS)
    size = embedding.norm(dim=1, keepdim=True)
    close(score, similarity - (TEXTS @ DIRECTIONS.offset) / size)
    close(share, (embedding - DIRECTIONS.offset).norm(dim=1, keepdim=True).expand(-1, 4) / size)


def test_more_pairs_than_there_are_is_refused():
    with pytest.raises(ValueError, match="k is 73, but there are only 72 pairs"):
        concept_pairs(DIRECTIONS, TEXTS, k=73)

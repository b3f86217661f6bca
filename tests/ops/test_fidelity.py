"""What reconstruction and ablation must preserve, and what they must lose."""

from __future__ import annotations

import pytest
import torch

from nhd_ops import components as cc
from nhd_ops import fidelity
from nhd_ops.contributions import Contributions
from nhd_ops.geometry import geometry_of
from nhd_ops.moments import moments_of
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close
GEOMETRY = geometry_of(random_world.directions())
DIRECTIONS = GEOMETRY.directions
S = random_world.coefficients(120)
MOMENTS = moments_of(S, GEOMETRY, torch.arange(120))
MEAN = MOMENTS.pairs.mean
CONTRIBUTIONS = Contributions(S, DIRECTIONS)
EMBEDDINGS = CONTRIBUTIONS.total()
CLASSES = random_world.unit(12, DIRECTIONS.width)
BASELINE = fidelity.zero_shot(EMBEDDINGS, CLASSES)
PAIRS = torch.arange(DIRECTIONS.pairs)


def test_the_baseline_separates_classes():
    assert len(BASELINE.unique()) > 3
    cosines = torch.cosine_similarity(EMBEDDINGS[:, None], CLASSES[None], dim=-1)
    assert torch.equal(BASELINE, cosines.argmax(1))


def test_pairs_from_their_components_are_the_identity(monkeypatch):
    monkeypatch.setattr(fidelity, "PAIRS_AT_ONCE", 29)
    own = cc.pair_components(DIRECTIONS, PAIRS, cc.signs(MOMENTS))
    found = fidelity.reconstruct_pairs(CONTRIBUTIONS, MEAN, own)
    close(found, EMBEDDINGS)
    assert torch.equal(fidelity.zero_shot(found, CLASSES), BASELINE)


def test_pairs_from_other_directions_agree_with_the_literal_form():
    other = random_world.unit(DIRECTIONS.pairs, DIRECTIONS.width, seed=11)
    vectors = reference.materialise(DIRECTIONS).flatten(0, 1)
    literal = DIRECTIONS.offset.expand(120, -1)
    for pair in PAIRS.tolist():
        r = S.flatten(1)[:, pair, None] * vectors[pair]
        literal = literal + reference.reconstruct(r, other[pair][None])
    close(fidelity.reconstruct_pairs(CONTRIBUTIONS, MEAN, other), literal)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_neurons_from_k_components_agree_with_their_svd(k):
    covariance = MOMENTS.neurons.covariance()
    weights = cc.neuron_components(covariance, GEOMETRY.neuron_gram, k).weights
    found = fidelity.reconstruct_neurons(CONTRIBUTIONS, MEAN, weights, GEOMETRY.neuron_gram)
    literal = DIRECTIONS.offset.expand(120, -1)
    for neuron in range(24):
        r = S[:, :, neuron] @ reference.materialise(DIRECTIONS)[:, neuron]
        literal = literal + reference.reconstruct(r, reference.pca(r, k)[0])
    close(found.total(), literal)
    whole = torch.allclose(found.total(), EMBEDDINGS)
    assert whole == (k == 3), "three heads: three components are everything, fewer are not"


def test_ablating_nothing_changes_nothing_and_ablating_all_leaves_a_constant():
    keep = torch.ones(3, 24, dtype=torch.bool)
    assert torch.equal(CONTRIBUTIONS.mean_ablate(keep, MEAN).total(), EMBEDDINGS)
    constant = CONTRIBUTIONS.mean_ablate(~keep, MEAN).total()
    close(constant, EMBEDDINGS.mean(0).expand(120, -1))
    assert len(fidelity.zero_shot(constant, CLASSES).unique()) == 1

"""Projections of units on fixed directions: the paper's reconstruction, through the factors."""

from __future__ import annotations

import pytest
import torch

from nhd_ops import components as cc
from nhd_ops import low_rank
from nhd_ops.contributions import Contributions
from nhd_ops.geometry import geometry_of
from nhd_ops.moments import moments_of
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close
GEOMETRY = geometry_of(random_world.directions())
DIRECTIONS = GEOMETRY.directions
S = random_world.coefficients(90)
MOMENTS = moments_of(S, GEOMETRY, torch.arange(90))
X = S - MOMENTS.pairs.mean
U = reference.materialise(DIRECTIONS)
SHIFT = Contributions(S, DIRECTIONS).total()
SHIFT = SHIFT - SHIFT.mean(0)


def neuron_vectors(k: int) -> torch.Tensor:
    weights = cc.neuron_components(MOMENTS.neurons.covariance(), GEOMETRY.neuron_gram, k).weights
    return cc.neuron_directions(DIRECTIONS, torch.arange(24), weights)


def head_vectors(k: int) -> torch.Tensor:
    weights = cc.head_components(MOMENTS.heads.covariance(), GEOMETRY.head_gram, k).weights
    return cc.head_directions(DIRECTIONS, weights)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_neurons_keep_what_an_svd_of_their_contributions_keeps(k, monkeypatch):
    monkeypatch.setattr(low_rank, "NEURONS_AT_ONCE", 7)
    found = low_rank.neuron_projections(DIRECTIONS, neuron_vectors(k)).shifts(X).sum(0)
    literal = torch.zeros_like(found)
    for neuron in range(24):
        r = S[:, :, neuron] @ U[:, neuron]
        literal += reference.reconstruct(r, reference.pca(r, k)[0]) - r.mean(0)
    close(found, literal)
    assert torch.allclose(found, SHIFT) == (k == 3)


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_heads_keep_what_an_svd_of_their_contributions_keeps(k):
    found = low_rank.head_projections(DIRECTIONS, head_vectors(k)).shifts(X).sum(0)
    literal = torch.zeros_like(found)
    for head in range(3):
        r = S[:, head] @ U[head]
        literal += reference.reconstruct(r, reference.pca(r, k)[0]) - r.mean(0)
    close(found, literal)
    assert torch.allclose(found, SHIFT) == (k == 8), "eight value dimensions are everything"


def test_any_direction_is_projected_on_as_it_is_by_hand():
    own = random_world.unit(24 * 2, 10, seed=8).view(24, 2, 10)
    found = low_rank.neuron_projections(DIRECTIONS, own).shifts(X)
    for k in range(2):
        literal = sum(reference.project(S[:, :, n] @ U[:, n], own[n, k]) for n in range(24))
        close(found[k], literal)


def test_a_pairs_own_component_scales_it_by_one_and_others_by_their_squared_cosine():
    pairs = torch.arange(DIRECTIONS.pairs)
    own = cc.pair_components(DIRECTIONS, pairs, cc.signs(MOMENTS))
    close(low_rank.pair_scales(DIRECTIONS, own, pairs), torch.ones(72).double())
    other = random_world.unit(72, 10, seed=4)
    cosines = torch.cosine_similarity(DIRECTIONS.vectors(pairs), other)
    close(low_rank.pair_scales(DIRECTIONS, other, pairs), cosines.square())

"""Factored directions agree with materialised ones in everything that is asked of them."""

from __future__ import annotations

import pytest
import torch

from nhd_ops.attention_pool import directions_of
from nhd_ops.contributions import Contributions
from nhd_ops.geometry import geometry_of
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close


@pytest.fixture
def directions():
    return random_world.directions()


@pytest.fixture
def vectors(directions):
    return reference.materialise(directions)  # [H,C,D]


def test_norms(directions, vectors):
    close(directions.norms(), vectors.norm(dim=-1))


def test_vectors_of_a_list_with_repeats_in_any_order(directions, vectors):
    pairs = torch.tensor([70, 0, 23, 24, 0, 71, 48])
    close(directions.vectors(pairs), vectors.flatten(0, 1)[pairs])


def test_neuron_vectors_and_grams(directions, vectors):
    neurons = torch.tensor([5, 0, 23])
    own = vectors[:, neurons].transpose(0, 1)  # [n,H,D]
    close(directions.neuron_vectors(neurons), own)
    close(directions.neuron_gram(neurons), own @ own.mT)


def test_all_neurons_in_blocks(directions, vectors, monkeypatch):
    monkeypatch.setattr("nhd_ops.contributions.NEURONS_AT_ONCE", 7)
    own = vectors.transpose(0, 1)
    close(directions.neuron_gram(), own @ own.mT)


def test_projection(directions, vectors):
    texts = random_world.unit(5, directions.width)
    close(directions.project(texts), torch.einsum("qd,hcd->qhc", texts, vectors))


def test_head_gram_gives_norms_of_head_contributions(directions, vectors):
    s = random_world.coefficients(4)
    values = directions.head_values(s)  # [B,H,E]
    squares = torch.einsum("bhe,hef,bhf->bh", values, directions.head_gram(), values)
    close(squares.sqrt(), torch.einsum("bhc,hcd->bhd", s, vectors).norm(dim=-1))


def test_contributions_sum_to_the_total(directions, vectors):
    s = random_world.coefficients(4)
    contributions = Contributions(s, directions)
    total = torch.einsum("bhc,hcd->bd", s, vectors) + directions.offset
    close(contributions.total(), total)
    texts = random_world.unit(5, directions.width)
    close(contributions.project(texts), total @ texts.T)


@torch.inference_mode()
@pytest.mark.parametrize("bias_share", [False, True])
def test_norms_of_contributions_with_and_without_the_papers_bias_share(bias_share):
    pool, features = random_world.pool(), random_world.features(3)
    literal = reference.contributions(pool, features, bias_share)  # [B,H,C,D]
    weights, tokens = reference.attention(pool, features)
    found = Contributions(weights[:, :, 0] @ tokens, directions_of(pool)).norms(bias_share)
    close(found, literal.norm(dim=-1))
    if bias_share:
        close(literal.sum((1, 2)), pool(features))


def test_mean_ablation_replaces_only_what_is_not_kept(directions):
    s = random_world.coefficients(4)
    keep = torch.rand(3, 24) > 0.5
    ablated = Contributions(s, directions).mean_ablate(keep, s.mean(0)).coefficients
    assert torch.equal(ablated[:, keep], s[:, keep])
    assert torch.equal(ablated[:, ~keep], s.mean(0)[~keep].expand(4, -1))


def test_geometry_moves_as_one(directions):
    geometry = geometry_of(directions).to("cpu", torch.float32)
    parts = (geometry.norms, geometry.neuron_gram, geometry.head_gram, geometry.directions.value)
    assert {part.dtype for part in parts} == {torch.float32}
    close(geometry.norms.double(), directions.norms(), rtol=1e-6, atol=0)

"""Components from small eigenproblems are those of the SVD of materialised contributions."""

from __future__ import annotations

import pytest
import torch

from nhd_ops import components as cc
from nhd_ops.geometry import geometry_of
from nhd_ops.moments import moments_of
from tests import reference
from tests.ops import random_world

GEOMETRY = geometry_of(random_world.directions())
VECTORS = reference.materialise(GEOMETRY.directions)  # [H,C,D]


def world(images, **kind):
    s = random_world.coefficients(images, **kind)
    return s, moments_of(s, GEOMETRY, torch.arange(images))


def assert_same_components(found, ratios, contributions, k):
    components, wanted = reference.pca(contributions, k)
    torch.testing.assert_close(ratios, wanted, rtol=1e-5, atol=1e-9)
    cosines = (found * components).sum(-1)
    torch.testing.assert_close(cosines.abs(), torch.ones(k).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(k).double(), rtol=1e-5, atol=0)


def test_a_pair_varies_along_one_line():
    s, moments = world(120)
    r = torch.einsum("b,d->bd", s[:, 1, 4], VECTORS[1, 4])
    singular = torch.linalg.svdvals(r - r.mean(0))
    assert singular[1] / singular[0] < 1e-5
    (component,), _ = reference.pca(r, 1)
    pair = torch.tensor([24 + 4])
    found = cc.pair_components(GEOMETRY.directions, pair, cc.signs(moments))[0]
    torch.testing.assert_close(found * torch.sign(found @ component), component)


def test_neuron_components_are_those_of_materialised_contributions():
    s, moments = world(150)
    _, covariance = cc.fitted_moments(moments.neurons)
    found = cc.neuron_components(covariance, GEOMETRY.neuron_gram, 2)
    neurons = torch.arange(24)
    directions = cc.neuron_directions(GEOMETRY.directions, neurons, found.weights)  # [C,2,D]
    for neuron in (0, 7, 23):
        own = torch.einsum("bh,hd->bd", s[:, :, neuron], VECTORS[:, neuron])
        assert_same_components(directions[neuron], found.explained_variance_ratio[neuron], own, 2)


def test_head_components_are_those_of_materialised_contributions():
    s, moments = world(150)
    _, covariance = cc.fitted_moments(moments.heads)
    found = cc.head_components(covariance, GEOMETRY.head_gram, 3)
    directions = cc.head_directions(GEOMETRY.directions, found.weights)  # [H,3,D]
    for head in range(3):
        own = s[:, head] @ VECTORS[head]
        assert_same_components(directions[head], found.explained_variance_ratio[head], own, 3)


def test_components_of_the_top_50_are_fitted_on_the_images_of_largest_norm():
    s, moments = world(150)
    mean, covariance = cc.fitted_moments(moments.neurons, fit_on="top50")
    found = cc.neuron_components(covariance, GEOMETRY.neuron_gram, 1)
    directions = cc.neuron_directions(GEOMETRY.directions, torch.arange(24), found.weights)
    own = torch.einsum("bh,hd->bd", s[:, :, 7], VECTORS[:, 7])
    top = own.norm(dim=1).argsort(descending=True)[:50]
    assert_same_components(directions[7], found.explained_variance_ratio[7], own[top], 1)
    torch.testing.assert_close(mean[7], s[top, :, 7].mean(0))


def test_the_top_50_of_fewer_images_are_all_of_them():
    _, moments = world(20)
    for all_of_it, top in zip(
        cc.fitted_moments(moments.heads), cc.fitted_moments(moments.heads, "top50"), strict=True
    ):
        torch.testing.assert_close(all_of_it, top)


def test_components_beyond_the_rank_are_zero_and_a_constant_unit_has_none():
    line = torch.tensor([1.0, -2.0, 0.5]).double()
    covariance = torch.stack([torch.outer(line, line), torch.zeros(3, 3).double()])
    gram = GEOMETRY.neuron_gram[:2]
    found = cc.unit_components(covariance, gram, 3)
    assert found.weights[0, 0].norm() > 0
    assert not found.weights[0, 1:].any() and not found.weights[1].any()
    torch.testing.assert_close(
        found.explained_variance_ratio[0], torch.tensor([1.0, 0, 0]).double(), atol=1e-12, rtol=0
    )
    assert found.explained_variance_ratio[1].isnan().all()


def test_the_largest_weight_of_a_component_is_positive():
    _, moments = world(150)
    weights = cc.unit_components(moments.neurons.covariance(), GEOMETRY.neuron_gram, 3).weights
    largest = weights.gather(-1, weights.abs().argmax(-1, keepdim=True))
    assert (largest > 0).all()
    negated = cc.unit_components(moments.neurons.covariance(), GEOMETRY.neuron_gram, 1).weights
    torch.testing.assert_close(negated, weights[:, :1])


@pytest.mark.parametrize("images", [1, 2, 7, 50, 51, 80, 99, 100, 130])
def test_signs_and_importance_agree_with_all_images_sorted(images):
    s, moments = world(images)
    s = (s * torch.randn(3, 24, generator=torch.Generator().manual_seed(0)).sign()).float()
    moments = moments_of(s, GEOMETRY.to(dtype=torch.float32), torch.arange(images))
    signs, importance = cc.signs(moments), cc.importance(moments, GEOMETRY.norms)
    for head, neuron in ((0, 0), (1, 7), (2, 23), (0, 11), (2, 5)):
        own = s[:, head, neuron].double()
        assert float(signs[head, neuron]) == reference.sign(own)
        norms = ((own - own.mean()).abs() * GEOMETRY.norms[head, neuron]).sort().values
        assert float(importance[head, neuron]) == pytest.approx(float(norms[-50:].mean()), 1e-6)


def test_a_tie_flips_the_sign():
    s = torch.ones(4, 3, 24)
    s[:2] = -1
    moments = moments_of(s, GEOMETRY.to(dtype=torch.float32), torch.arange(4))
    assert (cc.signs(moments) == -1).all()


@pytest.mark.parametrize("images", [3, 50, 70, 99, 400])
def test_the_images_of_largest_deviation_are_found_each_once(images):
    s, moments = world(images)
    centred = (s.float().double() - moments.pairs.mean).flatten(1)  # [B,H·C]
    ids, deviations = cc.top_images(moments, 30)
    wanted = centred.abs().sort(0, descending=True).values[:30].T
    torch.testing.assert_close(deviations.abs(), wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(centred.T.gather(1, ids), deviations, rtol=1e-6, atol=1e-6)
    assert all(len(set(row)) == len(row) for row in ids.tolist())


@pytest.mark.parametrize("images", [60, 140])
@pytest.mark.parametrize("active", [0, 1, 20, 55])
def test_images_of_equal_coefficients_are_counted_once(images, active):
    s = torch.zeros(images, 3, 24)
    s[torch.arange(active)] = torch.linspace(1, 9, active)[:, None, None]
    moments = moments_of(s, GEOMETRY.to(dtype=torch.float32), torch.arange(images))
    ids, deviations = cc.top_images(moments)
    assert len(set(ids[0].tolist())) == 50
    wanted = (s[:, 0, 0].double() - s[:, 0, 0].double().mean()).abs().sort(descending=True)
    torch.testing.assert_close(deviations[0].abs(), wanted.values[:50])


@pytest.mark.parametrize("images", [3, 50, 70, 400])
def test_the_images_of_largest_coefficient_are_found_each_once(images):
    s, moments = world(images)
    s = s.float().flatten(1)
    ids, values = cc.top_images(moments, 30, centred=False)
    wanted = s.abs().sort(0, descending=True).values[:30].T.double()
    torch.testing.assert_close(values.abs(), wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(s.T.gather(1, ids).double(), values, rtol=1e-6, atol=1e-9)
    assert all(len(set(row)) == len(row) for row in ids.tolist())


@pytest.mark.parametrize("images", [4, 120])
def test_a_units_top_images_are_those_of_its_materialised_contributions(images):
    s, moments = world(images)
    count = min(images, 10)
    for n in (0, 7, 23):
        r = torch.einsum("bh,hd->bd", s[:, :, n], VECTORS[:, n])
        top = r.norm(dim=1).argsort(descending=True)[:50]
        ids, norms = cc.unit_top_images(moments.neurons, GEOMETRY.neuron_gram, 10)
        assert ids[n].tolist() == top[:count].tolist()
        torch.testing.assert_close(norms[n], r[top[:count]].norm(dim=1))
        centred = (r - r.mean(0))[top].norm(dim=1)
        ids, norms = cc.unit_top_images(moments.neurons, GEOMETRY.neuron_gram, 10, centred=True)
        torch.testing.assert_close(norms[n], centred.sort(descending=True).values[:count])
        torch.testing.assert_close((r - r.mean(0))[ids[n]].norm(dim=1), norms[n])
        found = cc.unit_importance(moments.neurons, GEOMETRY.neuron_gram)
        assert float(found[n]) == pytest.approx(float(centred.mean()))

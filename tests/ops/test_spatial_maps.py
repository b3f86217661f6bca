"""Spatial maps: they add up to the coefficient, and are the literal terms of its sum."""

from __future__ import annotations

import torch

from nhd_ops import attention_pool as ap
from nhd_ops.geometry import geometry_of
from nhd_ops.spatial_maps import neuron_maps, spatial_maps
from nhd_ops.unit_moments import gram_norms
from tests import reference
from tests.ops import random_world


@torch.inference_mode()
def test_maps_of_all_pairs_add_up_to_the_coefficients():
    pool, features = random_world.pool(), random_world.features(4)
    maps = spatial_maps(pool, features, torch.arange(72))
    s = ap.coefficients(pool, features).flatten(1)
    torch.testing.assert_close(maps.total(), s)
    assert maps.grid.shape == (4, 72, 3, 3)


@torch.inference_mode()
def test_maps_are_the_literal_terms_in_the_order_of_the_pairs():
    pool, features = random_world.pool(), random_world.features(3)
    pairs = torch.tensor([50, 3, 50, 71])
    maps = spatial_maps(pool, features, pairs)
    for i, pair in enumerate(pairs.tolist()):
        grid, mean = reference.spatial_map(pool, features, pair // 24, pair % 24)
        torch.testing.assert_close(maps.grid[:, i], grid)
        torch.testing.assert_close(maps.mean[:, i], mean)


@torch.inference_mode()
def test_a_neurons_map_is_its_tokens_along_its_contribution_and_adds_up_to_the_norm():
    pool, features = random_world.pool(), random_world.features(4)
    geometry = geometry_of(ap.directions_of(pool))
    s = ap.coefficients(pool, features)
    for neuron in (0, 7, 23):
        gram = geometry.neuron_gram[neuron]
        maps = neuron_maps(pool, features, neuron, gram)
        literal = reference.neuron_map(pool, features, neuron)
        torch.testing.assert_close(maps.mean[:, 0], literal[:, 0])
        torch.testing.assert_close(maps.grid.flatten(1), literal[:, 1:])
        norms = gram_norms(s[:, :, neuron][None], gram[None])[0]
        torch.testing.assert_close(maps.total()[:, 0], norms)


@torch.inference_mode()
def test_combined_maps_are_those_of_the_combined_coefficients():
    pool, features = random_world.pool(), random_world.features(4)
    pairs, weights = torch.tensor([5, 40, 66]), torch.tensor([2.0, -1.0, 0.5]).double()
    combined = spatial_maps(pool, features, pairs).combined(weights)
    s = ap.coefficients(pool, features).flatten(1)[:, pairs]
    torch.testing.assert_close(combined.total()[:, 0], s @ weights)
    each = torch.arange(12).view(4, 3).double()
    own = spatial_maps(pool, features, pairs).combined(each)
    torch.testing.assert_close(own.total()[:, 0], (s * each).sum(1))


@torch.inference_mode()
def test_what_is_moved_in_the_features_moves_in_the_map():
    """Without positions, shifting the feature map around shifts the map with it."""
    pool, features = random_world.pool(grid=4), random_world.features(2, grid=4)
    pool.positional_embedding.data.zero_()
    pairs = torch.arange(0, 72, 7)
    moved = spatial_maps(pool, features.roll((1, 2), dims=(2, 3)), pairs)
    still = spatial_maps(pool, features, pairs)
    torch.testing.assert_close(moved.grid, still.grid.roll((1, 2), dims=(2, 3)))
    torch.testing.assert_close(moved.mean, still.mean)

"""The identity Σ s u + b* = encode_image, for every ResNet of open_clip that fits a laptop."""

from __future__ import annotations

import copy

import open_clip
import pytest
import torch

from nhd_ops import attention_pool as ap
from nhd_ops.trunk import Trunk
from tests import reference
from tests.ops import random_world


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("RN101", "RN50x4", "RN50x16")]


@pytest.mark.parametrize("name", ["RN50", *SLOW])
@torch.inference_mode()
def test_total_is_encode_image(name):
    visual = open_clip.create_model(name, pretrained=None).visual.eval()
    random_world.randomise(visual, seed=0)
    size = visual.image_size
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    features = ap.feature_map(visual, images)
    total = ap.directions_of(visual.attnpool).total(ap.coefficients(visual.attnpool, features))
    assert relative(total, visual(images)) < 1e-5

    fast = Trunk(visual)(images)
    assert relative(fast, features) < 1e-5
    total = ap.directions_of(visual.attnpool).total(ap.coefficients(visual.attnpool, fast))
    assert relative(total, visual(images)) < 1e-5

    exact = copy.deepcopy(visual.attnpool).double()
    spread = features.double() / features.std()
    attention = ap.attention(exact, ap.tokens_of(exact, spread))
    assert attention.max() > 2 / attention.shape[-1], "a uniform attention would prove little"
    total = ap.directions_of(exact).total(ap.coefficients(exact, spread))
    assert relative(total, exact(spread)) < 1e-12


@torch.inference_mode()
def test_total_is_encode_image_in_double_from_pixels():
    model = open_clip.create_model("RN50", pretrained=None).double().eval()
    random_world.randomise(model.visual, seed=3)
    images = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    features = ap.feature_map(model.visual, images)
    s = ap.coefficients(model.visual.attnpool, features)
    total = ap.directions_of(model.visual.attnpool).total(s)
    assert relative(total, model.encode_image(images)) < 1e-12


@torch.inference_mode()
def test_class_query_agrees_with_stock_attention():
    pool, features = random_world.pool(), random_world.features(4)
    weights, tokens = reference.attention(pool, features)
    torch.testing.assert_close(ap.attention(pool, ap.tokens_of(pool, features)), weights[:, :, 0])
    torch.testing.assert_close(ap.tokens_of(pool, features), tokens)


@torch.inference_mode()
def test_coefficients_reproduce_the_papers_einsum():
    pool, features = random_world.pool(), random_world.features(4)
    literal = reference.contributions(pool, features)  # [B,H,C,D]
    s = ap.coefficients(pool, features)
    u = reference.direction_vectors(pool)
    torch.testing.assert_close(s[..., None] * u, literal)
    offset = ap.directions_of(pool).offset
    torch.testing.assert_close(literal.sum((1, 2)) + offset, pool(features))


@torch.inference_mode()
def test_the_pool_may_run_in_a_wider_type_than_its_weights():
    pool, features = random_world.pool().bfloat16(), random_world.features(2)
    wide = copy.deepcopy(pool).double()
    torch.testing.assert_close(ap.coefficients(pool, features), ap.coefficients(wide, features))


def test_other_towers_are_refused():
    with pytest.raises(TypeError, match=r"Linear.*RN models"):
        ap.feature_map(torch.nn.Linear(2, 2), torch.zeros(1, 3, 4, 4))


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="16 cells, but the model has positions for 9"):
        ap.coefficients(random_world.pool(), random_world.features(1, grid=4))

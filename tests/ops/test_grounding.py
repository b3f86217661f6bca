"""Grounded pairs: chosen and weighted from moments as they would be image by image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from nhd_ops.candidates import Candidates, candidates, centred_texts, correlations
from nhd_ops.contributions import Directions
from nhd_ops.geometry import geometry_of
from nhd_ops.grounded import scores
from nhd_ops.grounding import choose, fitted, ground, ladder_of
from nhd_ops.moments import merge as merge_moments
from nhd_ops.moments import moments_of
from nhd_ops.nonnegative import nonnegative_least_squares
from nhd_ops.second_moments import SecondMoments, merge, pooled, second_moments_of
from tests import lens_reference as reference

FOLDS = 3


def values(images: int, concepts: int, width: int, seed: int) -> torch.Tensor:
    """[B,Q,V] about means far from 0; the last is a noisy non-negative mix of the others."""
    g = torch.Generator().manual_seed(seed)
    shared = torch.randn(images, concepts, 1, generator=g)
    x = torch.randn(images, concepts, width, generator=g) + shared
    mix = torch.rand(concepts, width - 1, generator=g) * (torch.arange(width - 1) % 2)
    x[..., -1] = (x[..., :-1] * mix).sum(-1) + 0.5 * torch.randn(images, concepts, generator=g)
    return x.double() * torch.rand(width, generator=g) + 3


def folds(images: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(FOLDS, (images,), generator=torch.Generator().manual_seed(seed))


def close(a: SecondMoments, b: SecondMoments) -> None:
    for left, right in zip(a, b, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 99))
def test_moments_do_not_depend_on_batches_or_order(sizes: list[int], seed: int) -> None:
    x, fold = values(sum(sizes), 2, 4, seed), folds(sum(sizes), seed)
    whole = second_moments_of(x, fold, FOLDS)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    parts = [second_moments_of(x[i], fold[i], FOLDS) for i in order.split(sizes)]
    total = parts[0]
    for part in parts[1:]:
        total = merge(total, part)
    close(total, whole)


def test_moments_of_a_fold_are_those_of_its_images() -> None:
    x, fold = values(60, 2, 4, 0), folds(60)
    found = second_moments_of(x, fold, FOLDS)
    others = pooled(found, [0, 2])
    for concept in range(2):
        expected = np.cov(x[fold == 1][:, concept].T.numpy(), bias=True)
        np.testing.assert_allclose(found.comoment[1, concept] / found.images[1], expected)
        expected = np.cov(x[fold != 1][:, concept].T.numpy(), bias=True)
        np.testing.assert_allclose(others.comoment[0, concept] / others.images[0], expected)


def test_weights_from_a_gram_are_those_of_every_subset_tried() -> None:
    x = values(80, 6, 7, 1) - 3
    z, y = x[..., :-1].permute(1, 0, 2), x[..., -1].T  # [Q,B,K], [Q,B]
    found = nonnegative_least_squares(z.mT @ z, (z.mT @ y[..., None]).squeeze(-1))
    for concept in range(6):
        expected = reference.nonnegative(z[concept].numpy(), y[concept].numpy())
        np.testing.assert_allclose(found[concept], expected, atol=1e-7)
    assert (found == 0).any() and (found > 0).any()


def test_repeated_and_empty_columns_fit_as_well_as_without_them() -> None:
    g = torch.Generator().manual_seed(2)
    z = torch.randn(50, 12, generator=g, dtype=torch.float64)
    z[:, 3], z[:, 7] = z[:, 0], 2 * z[:, 1]  # repeats
    z[:, 5] = 0
    y = z @ torch.rand(12, generator=g).double() + torch.randn(50, generator=g)
    found = nonnegative_least_squares((z.T @ z)[None], (z.T @ y)[None])[0]
    assert found[5] == 0 and (found >= 0).all()
    error = float((z @ found - y).norm())
    assert error == pytest.approx(nnls(z.numpy(), y.numpy())[1], rel=1e-7)


def test_held_out_correlations_are_those_of_images_left_out() -> None:
    x, fold = values(90, 2, 6, 3), folds(90)
    found = choose(second_moments_of(x, fold, FOLDS), (2, 5))
    for concept in range(2):
        one = x[:, concept].numpy()
        for step, k in enumerate(found.ladder):
            r = reference.held_out(one[:, :-1], one[:, -1], fold.numpy(), k)
            assert float(found.held_out[concept, step]) == pytest.approx(np.mean(r), abs=1e-6)
            error = np.std(r, ddof=1) / np.sqrt(FOLDS)
            assert float(found.error[concept, step]) == pytest.approx(error, abs=1e-6)


def test_the_fewest_within_one_standard_error_are_taken() -> None:
    """Of 30 candidates only the first two carry anything; those that follow are noise."""
    g = torch.Generator().manual_seed(4)
    x = torch.randn(3000, 1, 31, generator=g).double()
    x[..., -1] = x[..., 0] + x[..., 1] + torch.randn(3000, 1, generator=g)
    found = choose(second_moments_of(x, folds(3000), FOLDS), (1, 2, 10, 30))
    assert found.ladder[int(found.step[0])] == 2
    assert float(found.held_out[0, 0] + 3 * found.error[0, 0]) < float(found.held_out[0, 1])


def test_planted_weights_come_back_in_units_of_deviations() -> None:
    """Scores rebuild a similarity that is a non-negative mix of pairs, up to its mean."""
    g = torch.Generator().manual_seed(5)
    s = torch.randn(500, 2, 4, generator=g).double() * torch.rand(2, 4, generator=g) + 2
    deviation = s.std(0, correction=0)
    planted = torch.tensor([[0.5, 2.0, 0.0, 1.0]]).double()
    pairs = torch.tensor([[6, 1, 3, 4]])
    similarity = (s.flatten(1)[:, pairs[0]] * planted / deviation.flatten()[pairs[0]]).sum(1)
    x = torch.cat([s.flatten(1)[:, pairs], similarity[:, None, None]], dim=2)
    second = second_moments_of(x, folds(500), FOLDS)
    found = Candidates(pairs, torch.ones(1, 4).double())
    grounded = ground(found, second, choose(second, (4,)), deviation)
    assert grounded.pairs[0, :3].tolist() == [1, 4, 6]
    torch.testing.assert_close(
        grounded.weights[0], torch.tensor([2.0, 1.0, 0.5, 0.0])[: grounded.weights.shape[1]]
    )
    rebuilt = scores(s, grounded, s.mean(0), deviation)[:, 0]
    torch.testing.assert_close(rebuilt, similarity - similarity.mean(), atol=1e-5, rtol=1e-5)


def test_a_pair_that_does_not_vary_gets_no_weight() -> None:
    x = values(60, 1, 5, 6)
    x[..., 1] = 0.3
    second = second_moments_of(x, folds(60), FOLDS)
    weights = fitted(pooled(second, [0, 1, 2]), 4)
    assert weights[0, 1] == 0 and (weights >= 0).all() and weights.isfinite().all()


def world() -> tuple[Directions, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Directions of 2 heads and 6 neurons, s [B,H,C], unit texts [Q,D], similarities [B,Q]."""
    g = torch.Generator().manual_seed(7)
    value, output = torch.randn(2, 3, 6, generator=g), torch.randn(2, 5, 3, generator=g)
    directions = Directions(value, output, torch.zeros(2, 3), torch.randn(5, generator=g))
    s = torch.rand(70, 2, 6, generator=g) + 1
    s[:, 1, 2] = 4.0  # never varies
    texts = torch.nn.functional.normalize(torch.randn(3, 5, generator=g) + 1, dim=1)
    return directions, s, texts, torch.nn.functional.normalize(directions.total(s), dim=1) @ texts.T


def test_candidates_from_moments_are_those_found_one_by_one() -> None:
    directions, s, texts, similarity = world()
    geometry = geometry_of(directions)
    parts = [
        moments_of(s[i], geometry, i, similarity=similarity[i])
        for i in torch.arange(70).split([50, 20])
    ]
    moments = merge_moments(*parts)
    found = candidates(directions, texts, correlations(moments), 5)
    vectors = directions.vectors(torch.arange(12)).double().numpy()
    expected = reference.candidates(
        s.flatten(1).double().numpy(), vectors, texts.double().numpy(), similarity.numpy(), 5
    )
    for pairs, r, wanted in zip(found.pairs, found.r, expected, strict=True):
        assert pairs[r > 0].tolist() == wanted
    r = correlations(moments)
    assert (r[:, 1, 2] == 0).all()
    for pair in (0, 7):
        wanted = reference.correlation(s.flatten(1)[:, pair].numpy(), similarity[:, 1].numpy())
        assert float(r[1].flatten()[pair]) == pytest.approx(wanted, abs=1e-5)


def test_texts_alone_or_alike_stay_as_they_are() -> None:
    texts = torch.nn.functional.normalize(torch.rand(3, 4), dim=1)
    torch.testing.assert_close(centred_texts(texts).norm(dim=1), torch.ones(3))
    assert torch.equal(centred_texts(texts[:1]), texts[:1])
    same = texts[:1].expand(2, -1)
    torch.testing.assert_close(centred_texts(same), same)


def test_a_concept_that_no_pair_follows_scores_nothing() -> None:
    found = Candidates(torch.zeros(1, 3).long(), torch.zeros(1, 3).double())
    x = torch.zeros(30, 1, 4).double()
    x[..., -1] = torch.randn(30, 1).double()
    second = second_moments_of(x, folds(30), FOLDS)
    choice = choose(second, ladder_of(3))
    grounded = ground(found, second, choice, torch.ones(2, 2))
    assert (grounded.weights == 0).all() and (choice.held_out == 0).all()
    assert (scores(torch.rand(4, 2, 2), grounded, torch.zeros(2, 2), torch.ones(2, 2)) == 0).all()

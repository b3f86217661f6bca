"""Sub-concepts: shares add up, planted cases come first, and every condition is needed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nhd_ops import sub_concepts as sc
from nhd_ops.contributions import Directions
from nhd_ops.unit_moments import comoment_of
from tests import reference
from tests.ops import random_world

WIDTH, SHOTS = 16, 10
AXES = torch.eye(WIDTH, dtype=torch.float64)


def directions_and_covariance() -> tuple[Directions, torch.Tensor, torch.Tensor]:
    directions = random_world.directions()
    s = random_world.coefficients(40)  # [B,H,C]
    x = (s - s.mean(0)).permute(2, 0, 1)  # [C,B,H]
    return directions, s, comoment_of(x, x) / len(s)


def test_shares_are_those_of_materialised_contributions_and_add_up_to_one():
    directions, s, covariance = directions_and_covariance()
    shares = sc.head_shares(covariance, directions.neuron_gram())
    u = reference.materialise(directions)  # [H,C,D]
    for neuron in range(24):
        contributions = s[:, :, neuron, None] * u[:, neuron]  # [B,H,D]
        torch.testing.assert_close(shares[neuron], reference.head_shares(contributions))
    torch.testing.assert_close(shares.sum(1), torch.ones(24).double())


def test_a_head_that_cancels_another_has_a_negative_share_and_still_they_add_up():
    gram = torch.tensor([[1.0, -0.9], [-0.9, 1.0]])
    covariance = torch.tensor([[4.0, 1.0], [1.0, 0.3]]).double()
    shares = sc.head_shares(covariance, gram)
    assert shares[1] < 0 < shares[0]
    assert float(shares.sum()) == pytest.approx(1)


def test_a_neuron_that_does_not_vary_has_no_shares():
    assert torch.equal(sc.head_shares(torch.zeros(2, 2), torch.eye(2)), torch.zeros(2))


def images_of(axis: int, spread: float, seed: int) -> torch.Tensor:
    """[n,D]: exemplars around one axis."""
    noise = torch.randn(
        SHOTS, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return AXES[axis] + spread * noise


def planted() -> dict[str, tuple[list[float], list[torch.Tensor], list[torch.Tensor]]]:
    """Neurons of two heads each: shares, directions, exemplars."""
    one, two = images_of(0, 0.1, 0), images_of(1, 0.1, 1)
    half = [0.5, 0.5]
    return {
        "split": (half, [AXES[0], AXES[1]], [one, two]),
        "lopsided split": ([0.97, 0.03], [AXES[0], AXES[1]], [one, two]),
        "same words": (half, [AXES[0] + AXES[1], AXES[0] + AXES[1]], [one, two]),
        "same images": (half, [AXES[0], AXES[1]], [one + two, one + two]),
        "words of the other": (half, [AXES[1], AXES[0]], [one, two]),
        "mixed images": (
            half,
            [AXES[0], AXES[1]],
            [images_of(0, 3.0, 2), images_of(1, 3.0, 3)],
        ),
        "parallel": (half, [AXES[0], AXES[0]], [one, one]),
    }


def scored(neurons: dict) -> dict[str, float]:
    shares = torch.tensor([shares for shares, _, _ in neurons.values()]).double()
    directions = torch.stack([torch.stack(d) for _, d, _ in neurons.values()])
    exemplars = torch.stack([torch.stack(e) for _, _, e in neurons.values()])
    score = sc.cases(shares, directions, exemplars).score
    return dict(zip(neurons, score.tolist(), strict=True))


def test_a_planted_split_comes_first_and_parallel_heads_last():
    found = scored(planted())
    order = sorted(found, key=lambda name: -found[name])
    assert order[0] == "split" and found["split"] > 0.4
    assert found["parallel"] == min(found.values()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["lopsided split", "same words", "same images", "words of the other", "mixed images"]
)
def test_a_neuron_that_lacks_one_condition_scores_far_lower(name):
    found = scored(planted())
    assert found[name] < 0.25 * found["split"]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_the_score_is_bounded_and_blind_to_order_and_scale(seed, heads):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    shares = random(3, heads).exp()
    shares = shares / shares.sum(1, keepdim=True)
    directions, exemplars = random(3, heads, WIDTH), random(3, heads, SHOTS, WIDTH) + 1
    found = sc.cases(shares, directions, exemplars)
    assert (found.score >= 0).all() and (found.score <= 1 - 1 / heads + 1e-12).all()
    torch.testing.assert_close(found.dissimilarity, found.dissimilarity.mT)
    order = torch.randperm(heads, generator=generator)
    other = sc.cases(shares[:, order], 3 * directions[:, order], exemplars[:, order].flip(2) * 2)
    torch.testing.assert_close(other.score, found.score)


def test_strong_heads_are_the_largest_shares():
    found = sc.strong_heads(torch.tensor([[0.1, 0.5, -0.2, 0.6]]), 2)
    assert found.heads.tolist() == [[3, 1]]
    assert sc.strong_heads(torch.ones(2, 3), 8).heads.shape == (2, 3)


def test_overlap_is_the_jaccard_index_of_the_sets():
    generator = torch.Generator().manual_seed(0)
    ids = torch.stack(
        [torch.stack([torch.randperm(15, generator=generator)[:8] for _ in range(3)]) for _ in "ab"]
    )
    for row, found in zip(ids.tolist(), sc.overlap(ids).tolist(), strict=True):
        sets = [set(r) for r in row]
        expected = [[len(a & b) / len(a | b) for b in sets] for a in sets]
        assert found == [pytest.approx(values) for values in expected]

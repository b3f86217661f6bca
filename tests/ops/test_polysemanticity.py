"""Inertia, clarity and polysemanticity of images that are alike, two kinds, or unrelated."""

from __future__ import annotations

import torch

from nhd_ops import polysemanticity as ps
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close


def test_inertia_is_ten_times_one_minus_the_squared_mean():
    e = random_world.unit(30, 6).view(3, 10, 6)
    close(ps.inertia(e), 10 * (1 - e.mean(1).square().sum(-1)))


def test_clarity_is_the_mean_cosine_of_different_images():
    e = random_world.unit(10, 6)
    cosines = [float(e[i] @ e[j]) for i in range(10) for j in range(10) if i != j]
    close(ps.clarity(e), torch.tensor(cosines).double().mean(), rtol=1e-5, atol=1e-6)


def test_equal_images_are_monosemantic():
    e = random_world.unit(1, 6).expand(10, 6)
    for found, wanted in ((ps.inertia(e), 0), (ps.clarity(e), 1), (ps.polysemanticity(e), 0)):
        close(found, torch.tensor(float(wanted)).double(), atol=1e-12, rtol=0)


def test_two_kinds_of_images_are_told_apart():
    kinds = torch.eye(2, 6).double()
    centres = kinds[torch.tensor([0, 1, 1, 0, 0, 0, 1, 0, 1, 1])]
    e = torch.nn.functional.normalize(centres + 0.05 * random_world.unit(10, 6), dim=-1)
    close(ps.polysemanticity(e), torch.tensor(reference.two_means(e)).double())
    assert float(ps.polysemanticity(e)) > 0.9


def test_a_batch_of_units_is_measured_one_by_one():
    e = random_world.unit(40, 6).view(2, 2, 10, 6)
    both = ps.polysemanticity(e)
    assert both.shape == (2, 2)
    for i in range(2):
        for j in range(2):
            close(both[i, j], ps.polysemanticity(e[i, j]))


def test_two_means_from_cosines_are_two_means_of_embeddings():
    unrelated = random_world.unit(400, 6).view(40, 10, 6)
    alike = torch.nn.functional.normalize(unrelated + 2 * unrelated[:, :1], dim=-1)
    repeated = unrelated[:, torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3, 3])]
    for e in (unrelated, alike, repeated):
        wanted = torch.tensor([reference.polysemanticity(one) for one in e], dtype=torch.double)
        close(ps.polysemanticity(e), wanted, atol=1e-9, rtol=0)
        close(ps.polysemanticity(e.float()).double(), wanted, atol=1e-5, rtol=0)


def test_inertia_is_the_spread_about_the_mean():
    e = random_world.unit(300, 6).view(30, 10, 6)
    alike = torch.nn.functional.normalize(e + 5 * e[:, :1], dim=-1)
    for images in (e, alike):
        literal = (images - images.mean(1, keepdim=True)).square().sum((1, 2))
        close(ps.inertia(images), literal, atol=1e-9, rtol=0)
        close(ps.inertia(images.float()).double(), literal, atol=1e-5, rtol=0)


def test_all_three_at_once_are_each_of_them():
    e = random_world.unit(60, 6).view(2, 3, 10, 6)
    for found, one in zip(
        ps.alikeness(e), (ps.inertia, ps.clarity, ps.polysemanticity), strict=True
    ):
        assert torch.equal(found, one(e))


def test_the_share_of_pairs_below_their_neuron_is_counted_pair_by_pair():
    generator = torch.Generator().manual_seed(0)
    pairs, neurons = torch.rand(5, 9, generator=generator), torch.rand(9, generator=generator)
    counted = torch.rand(5, 9, generator=generator) > 0.4
    counted[:, 3] = False
    found = ps.share_below(pairs, neurons, counted)
    for n in range(9):
        own = [float(pairs[h, n]) for h in range(5) if counted[h, n]]
        below = [value for value in own if value < float(neurons[n])]
        wanted = len(below) / len(own) if own else float("nan")
        close(found[n], torch.tensor(wanted).double(), equal_nan=True)

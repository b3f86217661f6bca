"""Neighbours through the factors are those of all directions written out."""

from __future__ import annotations

import pytest
import torch

from nhd_ops import attention_pool as ap
from nhd_ops import neighbours as module
from nhd_ops.neighbours import neighbours
from tests import reference
from tests.ops import random_world


@pytest.mark.parametrize("at_once", [3, 64])
def test_neighbours_are_those_of_all_cosines(at_once: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    pool = random_world.pool()
    signs = torch.randn(3, 24, generator=torch.Generator().manual_seed(1)).sign().double()
    vectors = reference.direction_vectors(pool).detach() * signs[..., None]
    unit = torch.nn.functional.normalize(vectors.flatten(0, 1), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-2)
    pairs = torch.tensor([70, 3, 0, 41, 24])
    found = neighbours(ap.directions_of(pool), signs, pairs, 5)
    expected = cosines[pairs].sort(dim=1, descending=True)
    assert torch.equal(found.pairs, expected.indices[:, :5])
    torch.testing.assert_close(found.cosines, expected.values[:, :5])


def test_there_are_no_more_neighbours_than_other_pairs():
    directions = ap.directions_of(random_world.pool())
    found = neighbours(directions, torch.ones(3, 24), torch.tensor([7]), 500)
    assert sorted(found.pairs[0].tolist()) == [pair for pair in range(72) if pair != 7]

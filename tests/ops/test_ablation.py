"""Running totals over the parts of a ranking are the ablations of every nested set."""

from __future__ import annotations

import pytest
import torch

from nhd_ops.ablation import ablation_of, ranks
from nhd_ops.contributions import Contributions
from tests import reference
from tests.ops import random_world

close = torch.testing.assert_close
HEADS, NEURONS = 3, 24
DIRECTIONS = random_world.directions()
S = random_world.coefficients(40)
MEAN = S.mean(0)
TOTAL = Contributions(S, DIRECTIONS).total()
R = torch.einsum("bhc,hcd->bhcd", S, reference.materialise(DIRECTIONS))


def order_of(unit: str, seed: int = 0) -> torch.Tensor:
    count = {"pairs": HEADS * NEURONS, "neurons": NEURONS, "heads": HEADS}[unit]
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def kept(unit: str, chosen: torch.Tensor) -> torch.Tensor:
    """[H,C] bool, from a list of units."""
    keep = torch.zeros(HEADS, NEURONS, dtype=torch.bool)
    for i in chosen.tolist():
        where = {"pairs": divmod(i, NEURONS), "neurons": (slice(None), i), "heads": (i,)}[unit]
        keep[where] = True
    return keep


@pytest.mark.parametrize(
    ("unit", "sizes"),
    [("pairs", [0, 1, 2, 2, 30, 71, 72]), ("neurons", [0, 3, 10, 24]), ("heads", [0, 1, 2, 3])],
)
def test_every_set_is_ablated_as_the_materialised_contributions_are(unit, sizes):
    order = order_of(unit)
    ablation = ablation_of(DIRECTIONS, ranks(order, unit, HEADS, NEURONS), sizes)
    found = TOTAL.mean(0) + ablation.shifts(S - MEAN)
    assert found.shape == (len(sizes), 40, 10)
    for size, embeddings in zip(sizes, found, strict=True):
        keep = kept(unit, order[:size])
        close(embeddings, reference.mean_ablate(R, keep, DIRECTIONS.offset))
        close(embeddings, Contributions(S, DIRECTIONS).mean_ablate(keep, MEAN).total())


@pytest.mark.parametrize("unit", ["pairs", "neurons", "heads"])
def test_keeping_all_changes_nothing_and_keeping_none_leaves_a_constant(unit):
    count = len(order_of(unit))
    ablation = ablation_of(DIRECTIONS, ranks(order_of(unit), unit, HEADS, NEURONS), [0, count])
    none, every = ablation.shifts(S - MEAN)
    assert not none.any()
    close(TOTAL.mean(0) + every, TOTAL)


def test_each_pair_is_multiplied_once_whatever_the_number_of_sets():
    for sizes in ([72], [1, 5, 20, 40, 72]):
        parts = ablation_of(DIRECTIONS, ranks(order_of("pairs"), "pairs", 3, 24), sizes).parts
        used = torch.cat([part.pairs[part.value.abs().sum(2) > 0] for part in parts])
        assert torch.equal(used.sort().values, torch.arange(72))


def test_sets_that_do_not_nest_are_refused():
    with pytest.raises(ValueError, match="do not ascend"):
        ablation_of(DIRECTIONS, ranks(order_of("pairs"), "pairs", 3, 24), [5, 2])

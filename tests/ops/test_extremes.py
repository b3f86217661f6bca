"""Extremes keep order, break ties by the lower id, and merge exactly in any order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nhd_ops import extremes
from tests import reference

finite = st.floats(width=32, allow_nan=False)
ids = st.integers(0, 2**32 - 1)
# Few distinct values, so that ties are common.
values = st.sampled_from([-1.5, -0.0, 0.0, 2.0, 1e-38, 3e38])
rows = st.lists(st.tuples(values, ids), min_size=0, max_size=12, unique_by=lambda row: row[1])


def keys_of(chosen, k=5):
    table = torch.tensor([value for value, _ in chosen], dtype=torch.float32).view(-1, 1)
    names = torch.tensor([name for _, name in chosen], dtype=torch.int64)
    return extremes.largest(table, names, k)


@given(finite, ids)
def test_a_key_gives_back_its_value_and_id(value, name):
    key = extremes.pack(torch.tensor([value]), torch.tensor([name]))
    found, back = extremes.unpack(key)
    assert (float(found), int(back)) == (value, name)


@given(finite, ids, finite, ids)
def test_keys_order_by_value_then_by_lower_id(value, name, other, rival):
    one, two = extremes.pack(torch.tensor([value, other]), torch.tensor([name, rival])).tolist()
    assert (one > two) == ((value, -name) > (other, -rival))
    assert min(one, two) > extremes.EMPTY


@given(rows)
def test_largest_agrees_with_sorting(chosen):
    found, names = extremes.unpack(keys_of(chosen)[0])
    held = names >= 0
    wanted = reference.best(
        torch.tensor([v for v, _ in chosen], dtype=torch.float32),
        torch.tensor([n for _, n in chosen]),
        5,
    )
    assert list(zip(found[held].tolist(), names[held].tolist(), strict=True)) == wanted
    assert found[~held].isnan().all()


@given(rows, st.lists(st.integers(0, 12), min_size=2, max_size=2))
def test_merging_is_exactly_associative_and_commutative(chosen, cuts):
    low, high = sorted(cuts)
    a, b, c = (keys_of(part) for part in (chosen[:low], chosen[low:high], chosen[high:]))
    whole = keys_of(chosen)
    assert torch.equal(extremes.merge(extremes.merge(a, b), c), whole)
    assert torch.equal(extremes.merge(a, extremes.merge(c, b)), whole)
    assert torch.equal(extremes.merge(b, extremes.merge(c, a)), whole)


def test_units_in_blocks(monkeypatch):
    table, names = torch.randn(20, 9), torch.arange(20)
    whole = extremes.largest_at(table, names, 4)
    monkeypatch.setattr(extremes, "UNITS_AT_ONCE", 4)
    for part, block in zip(whole, extremes.largest_at(table, names, 4), strict=True):
        assert torch.equal(part, block)
    assert torch.equal(table.gather(0, whole[1].T).T, extremes.unpack(whole[0])[0])


@given(rows, rows)
def test_relabelling_by_an_increasing_map_commutes_with_merging(first, second):
    old = torch.tensor([0, 1000, 2**31])
    new = torch.tensor([7, 2000, 2**31 + 9])
    limit = 2**32 - 10
    moved = [extremes.relabel(keys_of(_below(part, limit)), old, new) for part in (first, second)]
    both = keys_of(_below(first, limit)), keys_of(_below(second, limit))
    merged = extremes.relabel(extremes.merge(*both), old, new)
    assert torch.equal(extremes.merge(*moved), merged)


def _below(chosen, limit):
    return [(value, name % limit) for value, name in chosen]


def test_relabelling_moves_each_file_and_keeps_empty_places():
    keys = keys_of([(3.0, 4), (2.0, 11), (1.0, 10)])
    moved = extremes.relabel(keys, torch.tensor([3, 10]), torch.tensor([100, 50]))
    assert extremes.unpack(moved)[1].tolist() == [[101, 51, 50, -1, -1]]
    with pytest.raises(ValueError, match="below the first start 5"):
        extremes.relabel(keys, torch.tensor([5]), torch.tensor([0]))

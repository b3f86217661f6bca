"""Groups of shards: every shard once, whatever the sizes; the largest first, and shrinking."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.extract.groups import (
    FULL_GROUPS,
    LEAST,
    MOMENTS_PER_IMAGE,
    MOMENTS_PER_PAIR,
    SHARE,
    full_size,
    groups_of,
    sizes_of,
)
from pipelines.io.shards import shard_id

RN50X16 = {"pairs": 147_456}
some_sizes = st.lists(st.floats(1, 1e9), min_size=1, max_size=60)


def named(sizes: list[float]) -> tuple[list[tuple[str, str]], dict[str, float]]:
    ids = [f"{i:03d}" for i in range(len(sizes))]
    return [(name, f"{name}.tar") for name in ids], dict(zip(ids, sizes, strict=True))


@given(some_sizes, st.integers(1, 8), st.integers(1, 20), st.randoms())
def test_every_shard_is_in_one_group_whatever_their_order(
    sizes: list[float], workers: int, most: int, order: random.Random
) -> None:
    waiting, weights = named(sizes)
    groups = groups_of(waiting, weights, workers, most)
    assert sorted(shard for group in groups for shard in group.shards) == waiting
    assert all(list(group.shards) == sorted(group.shards) for group in groups)
    order.shuffle(waiting)
    assert groups_of(waiting, weights, workers, most) == groups


@given(some_sizes, st.integers(1, 8), st.integers(1, 20))
def test_a_group_of_several_shards_is_never_too_large(
    sizes: list[float], workers: int, most: int
) -> None:
    waiting, weights = named(sizes)
    left = sum(sizes)
    full = most * left / len(sizes)
    for group in groups_of(waiting, weights, workers, most):
        size = sum(weights[shard] for shard, _ in group.shards)
        room = max(full / LEAST, min(full, left / (SHARE * workers)))
        assert len(group.shards) == 1 or size <= room * (1 + 1e-9)
        left -= size


def test_the_largest_shard_is_leased_first() -> None:
    waiting, weights = named([1, 5, 2, 100, 3])
    assert groups_of(waiting, weights, workers=2, most=1)[0].shards[0][0] == "003"


def test_full_groups_keep_moments_small_and_few() -> None:
    assert full_size(RN50X16, waiting=100) * 1000 * MOMENTS_PER_IMAGE >= 147_456 * MOMENTS_PER_PAIR
    assert 5_000_000 / full_size(RN50X16, waiting=5_000_000) < 1.01 * FULL_GROUPS
    assert full_size({"pairs": 1}, waiting=3) == 1


def test_an_unknown_size_counts_as_the_average() -> None:
    sources = {
        "a.tar": {"size": 10, "version": ""},
        "b.tar": {"size": 30, "version": ""},
        "c.tar": {"size": -1, "version": ""},
        "d.tar": None,
    }
    assert list(sizes_of(sources).values()) == pytest.approx([10, 30, 20, 20])
    assert list(sizes_of(sources)) == [shard_id(url) for url in sources]
    assert set(sizes_of({"c.tar": None}).values()) == {1.0}

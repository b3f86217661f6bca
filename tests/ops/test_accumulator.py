"""Batches taken together give the moments of all images, however they come."""

import pytest
import torch
from torch import Tensor

from nhd_ops import extremes, moments
from nhd_ops.accumulator import Accumulator
from nhd_ops.geometry import Geometry, geometry_of
from nhd_ops.moments import Moments, moments_of, to_tensors
from tests.ops import random_world


def images(count: int) -> tuple[Tensor, ...]:
    torch.manual_seed(count)
    coefficients = torch.randn(count, 4, 24).relu() - 0.01 * torch.rand(count, 4, 24)
    ids, labels = torch.arange(count), torch.rand(count, 1) > 0.5
    return coefficients, ids, torch.rand(count, 3), labels


def geometry() -> Geometry:
    return geometry_of(random_world.directions(neurons=24, heads=4).to(dtype=torch.float32))


def names(count: int) -> list[str]:
    return [("odd", "even")[i % 2] for i in range(count)]


def same(found: Moments | None, expected: Moments) -> None:
    assert found is not None and found.bucket_names() == expected.bucket_names()
    seen = to_tensors(found)
    for name, tensor in to_tensors(expected).items():
        if name.split("/")[-1] in ("largest", "smallest", "histogram", "count"):
            assert torch.equal(seen[name], tensor), name
        elif "keys" not in name and "vectors" not in name:  # norms carry their batch's rounding
            torch.testing.assert_close(seen[name], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [[300], [1] * 20 + [100, 7, 0, 173], [64, 64, 64, 64, 44]])
@pytest.mark.parametrize("block", [1000, 64, 10])
def test_blocks_and_batches_do_not_matter(sizes: list[int], block: int) -> None:
    everything, all_names = images(300), names(300)
    accumulator = Accumulator(geometry(), block)
    start = 0
    for size in filter(None, sizes):
        part = slice(start, start + size)
        accumulator.add(*(tensor[part] for tensor in everything), all_names[part])
        start += size
    c, ids, similarity, labels = everything
    expected = moments_of(
        c, geometry(), ids, similarity=similarity, labels=labels, buckets=all_names
    )
    same(accumulator.take(), expected)
    assert accumulator.take() is None


def test_a_batch_that_was_refused_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out when a block is taken: shrunk, the same batch goes in, once."""
    everything = images(120)
    accumulator = Accumulator(geometry(), 100)
    parts = list(zip(*(tensor.split(60) for tensor in everything), strict=True))
    accumulator.add(*parts[0])
    real, seen = moments.moments_of, list[int]()

    def full(coefficients: Tensor, *more: object, **named: object) -> Moments:
        seen.append(len(coefficients))
        if len(coefficients) > 30:
            raise MemoryError
        return real(coefficients, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("nhd_ops.accumulator.moments.moments_of", full)
    with pytest.raises(MemoryError):
        accumulator.add(*parts[1])
    accumulator.shrink(25)
    accumulator.add(*parts[1])
    accumulator.shrink(25)
    c, ids, similarity, labels = everything
    expected = real(c, geometry(), ids, similarity=similarity, labels=labels)
    same(accumulator.take(), expected)
    assert seen == [60, 25, 25, 10, 25, 25, 10]


@pytest.mark.parametrize("known", [0, 3, 60, 4000])
@pytest.mark.parametrize("kind", ["random", "ties", "drift"])
def test_updating_extremes_is_merging_them(known: int, kind: str) -> None:
    """Bit by bit: whether few or all of the new values are among the largest."""
    torch.manual_seed(known)
    values = torch.randn(known + 200, 40)
    values = values.round() if kind == "ties" else values
    values[:, 7] = 1.5  # a unit that never changes
    if kind == "drift":
        values[known:, :3] += 10
    ids = torch.randperm(len(values))
    before = torch.full((40, 50), extremes.EMPTY)
    if known:
        before = extremes.largest(values[:known], ids[:known], 50)
    new = extremes.largest(values[known:], ids[known:], 50)
    found = extremes.update(before, values[known:], ids[known:])
    assert torch.equal(found, extremes.merge(before, new))

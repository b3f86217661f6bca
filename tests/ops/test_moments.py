"""Moments agree with image-by-image loops, whatever the order, the batches and the sharding."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nhd_ops import extremes
from nhd_ops import moments as mm
from nhd_ops.geometry import geometry_of
from tests import reference
from tests.ops import random_world

IMAGES = 150
GEOMETRY = geometry_of(random_world.directions().to(dtype=torch.float32))
COEFFICIENTS = random_world.coefficients(IMAGES).float()
# What would break a one-pass variance: means a thousand deviations away.
COEFFICIENTS[:, 0, 0] += 1000 * COEFFICIENTS[:, 0, 0].std()
SIMILARITY = random_world.unit(IMAGES, 4, seed=5)[:, :2].float() + 0.2
LABELS = torch.rand(IMAGES, 3, generator=torch.Generator().manual_seed(6)) > 0.7
BUCKETS = ["odd" if i % 2 else "even" for i in range(IMAGES)]
IDS = torch.arange(IMAGES) * 1000


def moments_of(rows, geometry=GEOMETRY):
    rows = torch.as_tensor(rows)
    return mm.moments_of(
        COEFFICIENTS[rows].to(geometry.norms.dtype),
        geometry,
        IDS[rows],
        similarity=SIMILARITY[rows],
        labels=LABELS[rows],
        buckets=[BUCKETS[row] for row in rows.tolist()],
    )


@pytest.fixture(scope="module")
def whole():
    return moments_of(range(IMAGES))


def near(found, wanted, scale):
    """Equal to 1e-6 of the natural scale of the quantity."""
    assert float(((found - wanted).abs() / scale.clamp_min(1e-30)).max()) < 1e-6


def tied(norms):
    """Which of the sorted norms [U,50] are within rounding of a neighbour (or of the 51st)."""
    close = norms.diff(dim=1).abs() < 2e-6 * norms[:, 1:]
    pad = torch.nn.functional.pad
    return pad(close, (1, 0), value=False) | pad(close, (0, 1), value=True)


def assert_same(a, b):
    """The same moments: counts and extremes exactly, everything else to 1e-6."""
    spread = b.pairs.variance().sqrt()
    assert a.count == b.count and torch.equal(a.pairs.histogram, b.pairs.histogram)
    near(a.pairs.mean, b.pairs.mean, b.pairs.mean.abs() + spread)
    near(a.pairs.m2, b.pairs.m2, b.pairs.m2)
    assert torch.equal(a.largest, b.largest) and torch.equal(a.smallest, b.smallest)
    for one, other in ((a.neurons, b.neurons), (a.heads, b.heads)):
        sizes = other.comoment.diagonal(dim1=1, dim2=2).sqrt()
        near(one.comoment, other.comoment, sizes[:, :, None] * sizes[:, None])
        near(one.mean, other.mean, other.mean.abs() + sizes)
        norms, ids = extremes.unpack(one.keys)
        other_norms, other_ids = extremes.unpack(other.keys)
        near(norms, other_norms, other_norms)
        same = ids == other_ids
        assert (same | tied(other_norms)).all(), "only near ties of norms may swap"
        near(one.vectors[same], other.vectors[same], other.vectors[same].norm(dim=-1, keepdim=True))
    deviation = b.concepts.m2.sqrt()[:, None, None] * b.pairs.m2.sqrt()
    near(a.concepts.comoment, b.concepts.comoment, deviation)
    near(a.concepts.mean, b.concepts.mean, b.concepts.mean.abs())
    near(a.concepts.m2, b.concepts.m2, b.concepts.m2)
    assert torch.equal(a.labels.count1, b.labels.count1)
    near(a.labels.sum1, b.labels.sum1, b.count * (b.pairs.mean.abs() + spread))
    assert a.buckets.keys() == b.buckets.keys()
    for name in b.buckets:
        near(a.buckets[name].m2, b.buckets[name].m2, b.buckets[name].m2)
        assert torch.equal(a.buckets[name].histogram, b.buckets[name].histogram)


@settings(max_examples=20)
@given(
    st.permutations(range(IMAGES)), st.lists(st.integers(1, IMAGES - 1), max_size=6, unique=True)
)
def test_any_order_and_batching_gives_the_same(whole, order, cuts):
    bounds = [0, *sorted(cuts), IMAGES]
    batches = [order[a:b] for a, b in pairwise(bounds)]
    assert_same(reduce(mm.merge, map(moments_of, batches)), whole)


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_merging_in_any_tree_gives_the_same(whole, random):
    parts = [moments_of(range(start, start + 10)) for start in range(0, IMAGES, 10)]
    while len(parts) > 1:
        a, b = (parts.pop(random.randrange(len(parts))) for _ in range(2))
        parts.append(mm.merge(a, b))
    assert_same(parts[0], whole)


def test_one_image_at_a_time_gives_the_same(whole):
    assert_same(reduce(mm.merge, (moments_of([row]) for row in range(IMAGES))), whole)


def test_fp32_batches_agree_with_fp64_ones(whole):
    exact = moments_of(range(IMAGES), GEOMETRY.to(dtype=torch.float64))
    spread = exact.pairs.m2.sqrt()
    near(whole.pairs.m2, exact.pairs.m2, exact.pairs.m2)
    sizes = spread.T[:, :, None] * spread.T[:, None]  # [C,H,H]
    near(whole.neurons.comoment, exact.neurons.comoment, sizes)


def test_pair_moments_agree_with_loops(whole):
    exact = COEFFICIENTS.double()
    near(whole.pairs.mean, exact.mean(0), exact.mean(0).abs())
    near(whole.pairs.variance(), exact.var(0, unbiased=False), exact.var(0, unbiased=False))
    scaled = COEFFICIENTS * GEOMETRY.norms
    bins = [reference.bin_of(x) for x in scaled[:, 1, 7].tolist()]
    assert whole.pairs.histogram[1, 7].tolist() == [bins.count(i) for i in range(48)]
    odd = COEFFICIENTS[1::2].double()
    near(whole.buckets["odd"].mean, odd.mean(0), odd.mean(0).abs())
    near(whole.buckets["odd"].variance(), odd.var(0, unbiased=False), odd.var(0, unbiased=False))


def test_pair_extremes_agree_with_sorting(whole):
    for pair in (0, 25, 71):
        column = COEFFICIENTS.flatten(1)[:, pair]
        for keys, values in ((whole.largest, column), (whole.smallest, -column)):
            found, ids = extremes.unpack(keys[pair])
            assert list(zip(found.tolist(), ids.tolist(), strict=True)) == reference.best(
                values, IDS, 50
            )


def test_neuron_and_head_moments_agree_with_loops(whole):
    vectors = reference.materialise(GEOMETRY.directions)  # [H,C,D]
    values = torch.einsum("bhc,hec->bhe", COEFFICIENTS, GEOMETRY.directions.value)
    contributions = torch.einsum("bhc,hcd->bhcd", COEFFICIENTS, vectors)
    for moments, unit, rows, own in (
        (whole.neurons, 7, COEFFICIENTS[:, :, 7], contributions[:, :, 7].sum(1)),
        (whole.heads, 1, values[:, 1], contributions[:, 1].sum(1)),
    ):
        literal = reference.co_moments(rows, rows)
        sizes = literal.diagonal().sqrt()
        near(moments.comoment[unit], literal, sizes[:, None] * sizes)
        near(moments.covariance()[unit] * IMAGES, literal, sizes[:, None] * sizes)
        near(moments.mean[unit], rows.double().mean(0), sizes)
        norms, ids = extremes.unpack(moments.keys[unit])
        wanted = reference.best(own.norm(dim=1), IDS, 50)
        assert ids.tolist() == [name for _, name in wanted]
        torch.testing.assert_close(norms, torch.tensor([norm for norm, _ in wanted]))
        torch.testing.assert_close(moments.vectors[unit], rows[ids // 1000])


def test_concept_and_label_moments_agree_with_loops(whole):
    literal = reference.co_moments(SIMILARITY, COEFFICIENTS.flatten(1)).view(2, 3, 24)
    spread = whole.concepts.m2.sqrt()[:, None, None] * whole.pairs.m2.sqrt()
    near(whole.concepts.comoment, literal, spread)
    near(whole.concepts.mean, SIMILARITY.double().mean(0), SIMILARITY.mean(0).abs())
    variance = SIMILARITY.double().var(0, unbiased=False)
    near(whole.concepts.m2 / IMAGES, variance, variance)
    near(whole.concepts.pair_mean, whole.pairs.mean, whole.pairs.mean.abs())
    assert torch.equal(whole.labels.count1, LABELS.sum(0))
    for label in range(3):
        literal = COEFFICIENTS[LABELS[:, label]].double().sum(0)
        near(whole.labels.sum1[label], literal, literal.abs())


def test_tensors_hold_everything(whole):
    tensors = mm.to_tensors(whole)
    assert whole.bucket_names() == ["even", "odd"] and "buckets/1/mean" in tensors
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    back = mm.from_tensors(tensors, whole.bucket_names())
    assert_same(back, whole)
    assert mm.to_tensors(back).keys() == tensors.keys()


def test_relabelling_files_commutes_with_merging(whole):
    first, second = moments_of(range(60)), moments_of(range(60, IMAGES))
    old, new = torch.tensor([0, 60_000]), torch.tensor([5, 900_000])
    parts = mm.merge(mm.relabel(first, old, new), mm.relabel(second, old, new))
    assert_same(parts, mm.relabel(whole, old, new))
    kept = extremes.unpack(parts.heads.keys)[1]
    assert set(kept.flatten().tolist()) <= {
        i * 1000 + (5 if i < 60 else 840_000) for i in range(150)
    }


def test_a_pair_that_never_varies_has_no_variance():
    s = COEFFICIENTS.clone()
    s[:, 2, 3] = 0.1
    parts = [mm.moments_of(s[:40], GEOMETRY, IDS[:40]), mm.moments_of(s[40:], GEOMETRY, IDS[40:])]
    assert float(mm.merge(*parts).pairs.m2[2, 3]) == 0


def test_what_cannot_be_summed_is_refused(whole):
    broken = COEFFICIENTS.clone()
    broken[3, 1, 5] = torch.inf
    with pytest.raises(ValueError, match="infinite or not a number"):
        mm.moments_of(broken, GEOMETRY, IDS)
    with pytest.raises(ValueError, match="no images"):
        mm.moments_of(COEFFICIENTS[:0], GEOMETRY, IDS[:0])
    with pytest.raises(ValueError, match="different numbers of concepts"):
        mm.merge(whole, mm.moments_of(COEFFICIENTS, GEOMETRY, IDS))

"""Laws of dependent images: what copies cost, what clusters of one cost, and literal twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nhd_ops.bootstrap import REPLICATES, cluster_interval, replicates
from nhd_ops.clusters import counted_design, design, merged, ordered, totals
from nhd_ops.dependence import alike_p, uneven_p
from nhd_ops.grouped_auc import cluster_folds, grouped_error
from nhd_ops.shift import delong, mean_shift, placements, proportion_shift, summary
from tests.shift_reference import resampled, robust_variance


def clustered_sample(seed: int, groups: int, size: int, within: float) -> tuple:
    """Values [groups·size,3] whose clusters share a part of their variance, in mixed order."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), size)
    shared = rng.normal(size=(groups, 3))[codes]
    values = np.sqrt(within) * shared + np.sqrt(1 - within) * rng.normal(size=shared.shape)
    order = rng.permutation(len(codes))
    return values[order], codes[order]


@given(st.integers(0, 1000), st.integers(3, 40), st.booleans())
@settings(max_examples=30)
def test_design_is_the_literal_robust_variance(seed: int, n: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    values, codes = rng.normal(size=n), rng.integers(0, 5, n)
    codes[:2] = 0, 1
    values += rng.normal(size=5)[codes]
    weights = rng.uniform(0.2, 1, n) if weighted else np.ones(n)
    rows = robust_variance(values, np.arange(n), weights)
    expected = max(1.0, robust_variance(values, codes, weights) / rows)
    found = design(values, codes, weights if weighted else None)
    assert float(found.effect) == pytest.approx(expected, rel=1e-9)
    parts = np.bincount(codes, weights)
    assert found.freedom == pytest.approx(parts.sum() ** 2 / (parts**2).sum() - 1)


def test_images_that_are_their_own_clusters_are_independent() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 4)), 0.2 + rng.normal(size=(200, 4))
    for weights in (None, rng.uniform(0.1, 1, 300)):
        plain = mean_shift(summary(a, weights), summary(b))
        own = mean_shift(summary(a, weights, np.arange(300)), summary(b, None, np.arange(200)))
        np.testing.assert_allclose(own.effect, plain.effect, rtol=1e-12)
        np.testing.assert_allclose(own.p, plain.p, rtol=1e-8)
        np.testing.assert_allclose(own.high - own.low, plain.high - plain.low, rtol=0.01)
    low, high = cluster_interval(mean_shift, (a, np.arange(300)), (b, np.arange(200)), 0)
    plain = mean_shift(summary(a), summary(b))
    np.testing.assert_allclose(high - low, plain.high - plain.low, rtol=0.12)


def test_copies_within_clusters_add_nothing() -> None:
    sides = [clustered_sample(1, 40, 6, 0.3), clustered_sample(2, 40, 6, 0.3)]
    sides[1] = sides[1][0] + 0.25, sides[1][1]
    copied = [tuple(np.repeat(part, 25, axis=0) for part in side) for side in sides]
    once, again = (mean_shift(*(summary(x, None, c) for x, c in s)) for s in (sides, copied))
    np.testing.assert_allclose(again.p, once.p, rtol=1e-9)
    wide, far = (cluster_interval(mean_shift, *s, seed=0) for s in (sides, copied))
    np.testing.assert_allclose(far[1] - far[0], wide[1] - wide[0], rtol=0.01)
    naive = mean_shift(*(summary(x) for x, _ in copied))
    assert (naive.p < once.p / 100).all()


def test_p_is_valid_and_intervals_cover_where_images_depend() -> None:
    """900 null effects of 30 and 12 clusters of 20 near-copies; the naive test fails."""
    p, naive, covered = [], [], []
    for seed in range(300):
        a, b = clustered_sample(seed, 30, 20, 0.5), clustered_sample(seed + 9000, 12, 20, 0.5)
        p.append(mean_shift(summary(a[0], None, a[1]), summary(b[0], None, b[1])).p)
        naive.append(mean_shift(summary(a[0]), summary(b[0])).p)
        if seed < 60:
            low, high = cluster_interval(mean_shift, a, b, seed)
            covered.append((low <= 0) & (high >= 0))
    assert np.mean(np.array(p) < 0.05) <= 0.065
    assert np.mean(np.array(p) < 0.05) >= 0.03
    assert np.mean(np.array(naive) < 0.05) > 0.4
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)


def test_proportions_of_clusters_are_valid_too() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(600):
        sides = []
        for groups in (25, 15):
            codes = np.repeat(np.arange(groups), 30)
            rate = rng.beta(2, 8, groups)[codes]
            sides.append(summary((rng.uniform(size=len(codes)) < rate) * 1.0, None, codes))
        p.append(float(proportion_shift(*sides).p))
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.07


def test_replicates_are_literal_resamples_with_the_robust_variance() -> None:
    values, codes = clustered_sample(4, 12, 7, 0.3)
    codes = ordered(codes)
    found = replicates(values, codes, np.random.default_rng(5))
    draws = np.random.default_rng(5).multinomial(11, np.full(12, 1 / 12), size=REPLICATES)
    mean, variance = resampled(values[:, 0], codes, draws[:50])
    np.testing.assert_allclose(found.mean[:50, 0], mean, rtol=1e-9)
    np.testing.assert_allclose(found.variance[:50, 0] * 83 / 84, variance, rtol=1e-9)
    cost = design(values, codes)
    plain = summary(values)
    robust = plain.variance * cost.effect / plain.count
    np.testing.assert_allclose(found.mean.var(0), robust, rtol=0.12)


def test_swapping_the_sides_mirrors_the_bootstrap() -> None:
    a, b = clustered_sample(6, 20, 5, 0.4), clustered_sample(7, 15, 9, 0.4)
    there, back = cluster_interval(mean_shift, a, b, 0), cluster_interval(mean_shift, b, a, 0)
    np.testing.assert_allclose(there[0], -back[1], atol=1e-12)
    np.testing.assert_allclose(there[1], -back[0], atol=1e-12)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_the_names_of_clusters_do_not_matter(seed: int) -> None:
    values, codes = clustered_sample(seed, 9, 4, 0.5)
    renamed = np.random.default_rng(seed).permutation(9)[codes] * 17 + 3
    np.testing.assert_array_equal(ordered(codes), ordered(renamed))
    assert alike_p(values, codes) == alike_p(values, renamed)
    np.testing.assert_allclose(design(values, codes)[0], design(values, renamed)[0], rtol=1e-12)


def test_merged_clusters_are_unions() -> None:
    codes = np.random.default_rng(0).integers(0, 100, 1000)
    joined = merged(codes, 30)
    assert joined.max() + 1 <= 30
    assert all(len(set(joined[codes == c].tolist())) == 1 for c in set(codes.tolist()))
    sums = totals(np.ones((1000, 1)), joined)
    assert sums.sizes.sum() == 1000 and sums.sums.sum() == 1000


def test_a_rate_from_counts_has_the_design_of_its_rows() -> None:
    rng = np.random.default_rng(8)
    sizes, events = rng.integers(20, 60, 9), rng.integers(0, 20, 9)
    rows = np.concatenate(
        [np.r_[np.ones(e), np.zeros(n - e)] for e, n in zip(events, sizes, strict=True)]
    )
    from_rows = design(rows, np.repeat(np.arange(9), sizes))
    from_counts = counted_design(events, sizes)
    assert float(from_counts.effect) == pytest.approx(float(from_rows.effect))
    assert from_counts.freedom == pytest.approx(from_rows.freedom)


def test_one_cluster_is_refused() -> None:
    for refused in (lambda: design(np.ones(5), np.zeros(5, int)), lambda: counted_design([1], [5])):
        with pytest.raises(ValueError, match="two are needed"):
            refused()


def test_dependence_is_seen_and_independence_left_alone() -> None:
    """Every image twice in one of 8 shards, among 28 measures; and the same shuffled."""
    seen, dreamt = [], []
    for seed in range(70):
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.normal(size=(300, 28)), 2, axis=0) + 0.1 * rng.normal(size=(600, 28))
        codes = np.repeat(np.arange(8), 75)
        if seed < 20:
            seen.append(alike_p(x, codes, seed))
        dreamt.append(alike_p(rng.permutation(x), codes, seed))
    assert np.mean(np.array(seen) <= 0.005) >= 0.9
    assert np.mean(np.array(dreamt) <= 0.05) <= 0.13  # 0.05, and three deviations of 70
    assert np.mean(np.array(dreamt) <= 0.005) <= 0.03


def test_events_of_one_shard_are_uneven_and_scattered_ones_are_not() -> None:
    sizes = np.full(10, 500)
    lump = np.zeros(10, int)
    lump[3] = 40
    assert uneven_p(lump, sizes) <= 0.005
    rng = np.random.default_rng(0)
    p = [uneven_p(rng.binomial(sizes, 0.01), sizes, seed) for seed in range(200)]
    assert np.mean(np.array(p) <= 0.05) <= 0.09
    assert uneven_p(np.zeros(10, int), sizes) == 1.0
    assert uneven_p(lump[::-1], sizes) == uneven_p(lump, sizes)
    singles = rng.binomial(1, 0.1, 1_000_000)  # every image its own cluster: nothing can gather
    assert uneven_p(singles, np.ones_like(singles)) == 1.0


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=40)
def test_folds_never_cut_a_cluster(seed: int, left: int, right: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, left, 200), rng.integers(left, left + right, 150)
    a[:2], b[:2] = (0, 1), (left, left + 1)
    one, other = cluster_folds(a, b, 5)
    for codes, folds in ((a, one), (b, other)):
        assert all(len(set(folds[codes == c].tolist())) == 1 for c in set(codes.tolist()))
    assert set(one.tolist()) == set(other.tolist()) == set(range(one.max() + 1))
    back = cluster_folds(b, a, 5)
    np.testing.assert_array_equal(one, back[1])
    shared = cluster_folds(a, a, 5)
    np.testing.assert_array_equal(*shared)


def test_clusters_of_one_have_delongs_error() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=60), 0.3 + rng.normal(size=90)
    above, below = placements(a, b)
    auc = delong(a, b)
    parts = [(above - auc.auc) / 60, (below - auc.auc) / 90]
    error, freedom = grouped_error(parts, [np.arange(60), np.arange(90)])
    assert error == pytest.approx(auc.error)
    assert freedom == pytest.approx(59)

"""Laws of the permutation control: scipy's test, family-wise level, whole clusters."""

import numpy as np
import pytest
from scipy import stats

from nhd_ops.permutation import MOST_UNITS, _shuffled, family_wise_p, least_p


def student_t(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    return np.abs(stats.ttest_ind(x, y, axis=axis).statistic)


def test_one_quantity_has_scipys_p() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(14, 1)), 0.7 + 2 * rng.normal(size=(9, 1))
    expected = stats.permutation_test(
        (a[:, 0], b[:, 0]), student_t, vectorized=True, n_resamples=9999, alternative="greater",
        rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    assert family_wise_p(a, b)[0] == pytest.approx(expected, abs=0.02)


def test_every_permutation_of_a_tiny_sample() -> None:
    a, b = np.array([[0.0], [1.0], [2.5]]), np.array([[4.0], [5.5], [7.0]])
    exact = stats.permutation_test(
        (a[:, 0], b[:, 0]), student_t, vectorized=True, alternative="greater"
    )
    assert exact.pvalue == pytest.approx(0.1)  # 2 of 20
    assert family_wise_p(a, b)[0] == pytest.approx(0.1, abs=0.012)


def test_p_is_never_below_the_least_and_belongs_to_its_quantity() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(200, 5)), rng.normal(size=(150, 5))
    b[:, 3] += 3
    p = family_wise_p(a, b, permutations=199)
    assert p[3] == pytest.approx(1 / 200)
    assert (np.delete(p, 3) > 0.05).all()
    np.testing.assert_array_equal(p, family_wise_p(a, b, permutations=199))


def test_swapping_the_sides_and_constants_change_nothing() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(80, 3)), 0.3 + rng.normal(size=(120, 3))
    a[:, 2] = b[:120, 2] = 5.0
    p = family_wise_p(a, b, permutations=999)
    np.testing.assert_array_equal(p, family_wise_p(b, a, permutations=999))
    assert p[2] == 1.0


def test_the_family_wise_level_holds_where_quantities_depend() -> None:
    alarms, clustered, naive = [], [], []
    codes = np.repeat(np.arange(20), 8)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=(320, 1))
        x = common + 0.3 * rng.normal(size=(320, 6))
        alarms.append(family_wise_p(x[:160], x[160:], seed=seed, permutations=199).min())
        shared = np.r_[codes, 20 + codes]
        y = rng.normal(size=(40, 6))[shared] + 0.5 * x
        sides = y[:160], y[160:]
        clustered.append(family_wise_p(*sides, (codes, codes), seed=seed, permutations=199).min())
        naive.append(family_wise_p(*sides, seed=seed, permutations=199).min())
    assert np.mean(np.array(alarms) <= 0.05) <= 0.08
    assert np.mean(np.array(clustered) <= 0.05) <= 0.08
    assert np.mean(np.array(naive) <= 0.05) > 0.5


def test_many_images_join_to_units_and_still_see_a_small_change() -> None:
    rng = np.random.default_rng(4)
    n = 3 * MOST_UNITS
    a, b = rng.normal(size=(n, 4)), rng.normal(size=(n + 1000, 4))
    b[:, 1] += 0.09
    p = family_wise_p(a, b, permutations=999)
    assert p[1] == pytest.approx(0.001)
    assert (np.delete(p, 1) > 0.01).all()


def test_every_shuffle_is_equally_likely() -> None:
    rows = _shuffled(np.random.default_rng(5), 30_000, 6, 2).astype(int)
    assert (rows.sum(1) == 2).all()
    seen = np.bincount(rows @ (1 << np.arange(6)))
    seen = seen[seen > 0]
    assert len(seen) == 15  # pairs of 6
    assert stats.chisquare(seen).pvalue > 1e-3


@pytest.mark.parametrize("smaller", [30, 60, 300])
def test_a_side_that_is_far_the_larger_leaves_the_smaller_its_units(smaller: int) -> None:
    rng = np.random.default_rng(smaller)
    nulls = [
        family_wise_p(
            rng.standard_normal((60_000, 3)), rng.standard_normal((smaller, 3)), permutations=199
        ).min()
        for _ in range(60)
    ]
    assert np.mean(np.array(nulls) <= 0.1) <= 0.22  # 3 of 10,000 such counts are larger by chance
    current = rng.standard_normal((smaller, 3))
    current[:, 1] += 6 / np.sqrt(smaller)
    one, codes = rng.standard_normal((60_000, 3)), np.arange(60_000) // 2
    for clusters in (None, (codes, np.arange(smaller) // 2)):
        p = family_wise_p(one, current, clusters, permutations=999)
        assert p[1] <= 0.005 < min(p[0], p[2])
        assert least_p(60_000, smaller, clusters) < 1e-6

"""Laws of the shift statistics: literal formulas, scipy, symmetry, coverage."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from nhd_ops.shift import (
    Summary,
    as_auc,
    delong,
    detectable_effect,
    false_discovery,
    mean_shift,
    proportion_shift,
    summary,
    welch,
)


def samples(seed: int, n: int = 200, m: int = 90, shift: float = 0.4) -> tuple:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), shift + rng.normal(size=(m, 3)) * [1, 2, 0.5]


def test_d_is_the_literal_formula() -> None:
    a, b = samples(0)
    found = mean_shift(summary(a), summary(b)).effect
    for column in range(3):
        x, y = a[:, column], b[:, column]
        d = (y.mean() - x.mean()) / np.sqrt((np.var(x, ddof=1) + np.var(y, ddof=1)) / 2)
        assert found[column] == pytest.approx(d, rel=1e-12)


def test_welch_is_scipys() -> None:
    a, b = samples(1)
    expected = stats.ttest_ind(b, a, equal_var=False).pvalue
    np.testing.assert_allclose(welch(summary(a), summary(b)), expected, rtol=1e-9)


@given(st.integers(0, 1000), st.floats(-2, 2))
@settings(max_examples=25)
def test_swapping_the_sides_flips_every_sign(seed: int, shift: float) -> None:
    a, b = (summary(x) for x in samples(seed, shift=shift))
    p, q = (Summary(s.count, squash(s.mean), s.variance) for s in (a, b))
    for test, x, y in ((mean_shift, a, b), (proportion_shift, p, q)):
        there, back = test(x, y), test(y, x)
        np.testing.assert_allclose(there.effect, -back.effect, atol=1e-12)
        np.testing.assert_allclose(there.low, -back.high, atol=1e-12)
        np.testing.assert_allclose(there.p, back.p, atol=1e-12)


def squash(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@given(st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=25)
def test_d_does_not_depend_on_scale_and_origin(scale: float, origin: float) -> None:
    a, b = samples(3)
    plain = mean_shift(summary(a), summary(b))
    moved = mean_shift(summary(a * scale + origin), summary(b * scale + origin))
    np.testing.assert_allclose(plain, moved, rtol=1e-6, atol=1e-12)


def test_equal_weights_change_nothing_and_whole_weights_repeat_rows() -> None:
    a, _ = samples(4)
    plain, equal = summary(a), summary(a, np.full(len(a), 3.0))
    for x, y in zip(astuple(plain)[:3], astuple(equal)[:3], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)
    times = np.random.default_rng(0).integers(1, 4, len(a))
    repeated = np.repeat(a, times, axis=0)
    np.testing.assert_allclose(summary(a, times.astype(float)).mean, repeated.mean(0), rtol=1e-12)


@pytest.mark.parametrize(("ratio", "shift"), [(1.0, 0.0), (1.0, 0.5), (3.0, 0.3)])
def test_the_interval_of_d_covers(ratio: float, shift: float) -> None:
    rng = np.random.default_rng(5)
    truth = shift / np.sqrt((1 + ratio**2) / 2)
    a = rng.normal(size=(60, 4000))
    b = shift + ratio * rng.normal(size=(150, 4000))
    found = mean_shift(summary(a), summary(b))
    covered = np.mean((found.low <= truth) & (truth <= found.high))
    assert covered == pytest.approx(0.95, abs=0.012)


def test_the_interval_of_h_covers_and_its_p_is_uniform_under_the_null() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.binomial(500, 0.12, 4000) / 500, rng.binomial(800, 0.2, 4000) / 800
    truth = 2 * np.arcsin(np.sqrt(0.2)) - 2 * np.arcsin(np.sqrt(0.12))
    found = proportion_shift(Summary(500.0, a, a), Summary(800.0, b, b))
    assert np.mean((found.low <= truth) & (truth <= found.high)) == pytest.approx(0.95, abs=0.012)
    c = rng.binomial(800, 0.12, 4000) / 800
    null = proportion_shift(Summary(500.0, a, a), Summary(800.0, c, c))
    assert np.mean(null.p < 0.05) == pytest.approx(0.05, abs=0.012)


def test_what_never_varies_is_no_change_or_an_infinite_one() -> None:
    still = Summary(50.0, np.array([0.0, 1.0]), np.zeros(2))
    moved = Summary(50.0, np.array([0.0, 2.0]), np.zeros(2))
    found = mean_shift(still, moved)
    assert found.effect.tolist() == [0.0, np.inf]
    assert found.p.tolist() == [1.0, 0.0]


def test_false_discovery_is_scipys_and_keeps_the_shape() -> None:
    p = np.random.default_rng(7).uniform(size=(4, 5)) ** 3
    expected = stats.false_discovery_control(p.ravel(), method="by").reshape(4, 5)
    np.testing.assert_array_equal(false_discovery(p), expected)
    assert false_discovery(np.empty(0)).shape == (0,)


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=40)
def test_auc_counts_pairs_and_error_is_delongs_literal_one(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 8, n).astype(float), rng.integers(1, 9, m).astype(float)  # many ties
    wins = (b[:, None] > a) + 0.5 * (b[:, None] == a)  # [m,n]
    found = delong(a, b)
    assert found.auc == pytest.approx(wins.mean(), abs=1e-12)
    error = wins.mean(1).var(ddof=1) / m + wins.mean(0).var(ddof=1) / n
    assert found.error**2 == pytest.approx(error, abs=1e-12)
    labels = np.r_[np.zeros(n), np.ones(m)]
    assert found.auc == pytest.approx(roc_auc_score(labels, np.r_[a, b]), abs=1e-12)


def test_the_detectable_effect_is_found_as_often_as_promised() -> None:
    rng = np.random.default_rng(9)
    d = detectable_effect(300, 200, tests=10, alpha=0.05)
    found = []
    for _ in range(1000):
        a, b = rng.normal(size=(300, 10)), rng.normal(size=(200, 10))
        b[:, 0] += d
        found.append(false_discovery(mean_shift(summary(a), summary(b)).p)[0] < 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_the_auc_of_an_effect_is_that_of_normal_samples() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=4000), 0.7 + rng.normal(size=4000)
    assert delong(a, b).auc == pytest.approx(as_auc(0.7), abs=3 * delong(a, b).error)

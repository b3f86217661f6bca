"""Laws of the spending of false alarms, and of the power that is left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nhd_ops.shift import (
    Summary,
    detectable_effect,
    detection_power,
    false_discovery,
    mean_shift,
)
from nhd_ops.spending import alpha_of
from nhd_ops.tilt import moved, tilted


@given(st.integers(1, 400), st.floats(0.001, 0.5))
@settings(max_examples=50)
def test_a_series_never_spends_more_than_was_promised(horizon: int, promised: float) -> None:
    even = [alpha_of(t, horizon, promised, "even") for t in range(1, horizon + 1)]
    assert sum(even) == pytest.approx(promised, rel=1e-9)
    forever = [alpha_of(t, horizon, promised, "forever") for t in range(1, horizon + 1)]
    assert sum(forever) < promised
    assert forever == sorted(forever, reverse=True)


def test_a_series_for_ever_spends_all_in_the_end() -> None:
    spent = sum(alpha_of(t, 1, 0.05, "forever") for t in range(1, 20_001))
    rest = 0.05 * 6 / np.pi**2 / 20_000  # Σ_{t>T} 1/t² < 1/T
    assert 0.05 - rest < spent < 0.05


def test_nothing_can_be_spent_twice() -> None:
    with pytest.raises(ValueError, match="audit 53 of a series planned for 52"):
        alpha_of(53, 52, 0.05, "even")
    assert alpha_of(53, 52, 0.05, "forever") > 0
    for wrong in ((0, 52, 0.05), (1, 0, 0.05), (1, 52, 0.0), (1, 52, 1.0)):
        with pytest.raises(ValueError, match=r"not possible|between"):
            alpha_of(*wrong)
    with pytest.raises(ValueError, match="no spending plan 'odd'"):
        alpha_of(1, 52, 0.05, "odd")  # type: ignore[arg-type]


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.99])
def test_the_union_bound_holds_however_audits_depend(shared: float) -> None:
    """Audits of z-scores that have the part `shared` of their variance in common."""
    rng = np.random.default_rng(4)
    series, audits, promised = 4000, 20, 0.2
    common = rng.normal(size=(series, 1)) * np.sqrt(shared)
    z = common + np.sqrt(1 - shared) * rng.normal(size=(series, audits))
    p = 2 * stats.norm.sf(np.abs(z))
    for plan in ("even", "forever"):
        alphas = [alpha_of(t, audits, promised, plan) for t in range(1, audits + 1)]
        alarms = int((p < alphas).any(1).sum())
        assert stats.binomtest(alarms, series, promised, "greater").pvalue > 1e-4


@given(st.integers(30, 9000), st.integers(30, 9000), st.floats(0, 0.3), st.floats(0.5, 0.99))
@settings(max_examples=50)
def test_power_and_detectable_effect_are_inverse(
    n: int, m: int, floor: float, power: float
) -> None:
    d = detectable_effect(n, m, 28, 0.001, power, floor)
    assert detection_power(d, n, m, 28, 0.001, floor) == pytest.approx(power, abs=1e-9)
    assert d >= floor


def test_with_many_images_the_floor_decides_and_is_promised() -> None:
    """At n = 40,000 a shift of just the floor is found every other time, for all its tiny p."""
    n, floor = 40_000, 0.1
    d = detectable_effect(n, n, 10, 0.01, floor=floor)
    rng = np.random.default_rng(0)
    simulations = 4000
    one, other = (
        Summary(float(n), mean + rng.normal(size=(simulations, 10)) / n**0.5, np.ones(10))
        for mean in (0.0, np.r_[d, np.zeros(9)])
    )
    effect = mean_shift(one, other)
    q = np.array([false_discovery(p) for p in effect.p])
    found = np.mean((q[:, 0] < 0.01) & (np.abs(effect.effect[:, 0]) >= floor))
    assert found == pytest.approx(0.8, abs=0.025)
    assert detectable_effect(n, n, 10, 0.01) < floor  # what the formula without the floor said


@pytest.mark.parametrize("d", [0.05, 0.5, -0.5, 1.5])
def test_tilting_plants_exactly_d_and_moves_what_goes_with_it(d: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.gamma(1.0, size=(3000, 1))
    with_it = x + rng.normal(size=(3000, 1))
    apart = rng.normal(size=(3000, 1))
    values = np.hstack([x, with_it, apart])
    weights = tilted(values[:, 0], d)
    assert weights.sum() == pytest.approx(1, abs=1e-12) and weights.min() >= 0
    found = moved(values, weights)
    assert found[0] == pytest.approx(d, abs=1e-9)
    assert 0.2 * abs(d) < found[1] * np.sign(d) < abs(d)
    assert abs(found[2]) < abs(found[1])


def test_tilting_of_a_yes_or_no_is_a_change_of_its_share() -> None:
    label = np.repeat([0.0, 1.0], [900, 100])
    weights = tilted(label, 0.4)
    assert np.ptp(weights[:900]) < 1e-12 and np.ptp(weights[900:]) < 1e-12
    assert moved(label, weights) == pytest.approx(0.4, abs=1e-9)


def test_what_cannot_be_planted_is_refused() -> None:
    with pytest.raises(ValueError, match="same on all rows"):
        tilted(np.ones(50), 0.2)
    with pytest.raises(ValueError, match="no weighting of these 5 rows"):
        tilted(np.array([0.0, 0.1, 0.2, 0.3, 0.4]), 40.0)

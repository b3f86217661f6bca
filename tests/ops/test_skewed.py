"""Laws of the shift of skewed values: scipy's tests, and a level that holds far out."""

import numpy as np
import pytest
from scipy import stats

from nhd_ops.shift import Summary, mean_shift, summary, welch
from nhd_ops.skewed import careful_shift, student


def test_p_is_the_larger_of_scipys_two() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(90, 40)), rng.normal(0.3, 2, size=(25, 40))
    sides = summary(a), summary(b)
    pooled, own = (stats.ttest_ind(a, b, equal_var=equal).pvalue for equal in (True, False))
    np.testing.assert_allclose(student(*sides), pooled, rtol=1e-9)
    found, plain = careful_shift(*sides), mean_shift(*sides)
    np.testing.assert_allclose(found.p, np.maximum(pooled, own), rtol=1e-9)
    for field in ("effect", "low", "high"):
        np.testing.assert_array_equal(getattr(found, field), getattr(plain, field))
    swapped = careful_shift(*sides[::-1])
    np.testing.assert_allclose(swapped.p, found.p, rtol=1e-12)


def test_what_does_not_vary_is_the_same_or_is_not() -> None:
    still = [Summary(9.0, np.array([mean]), np.array([0.0])) for mean in (1.0, 1.0, 2.0)]
    assert student(still[0], still[1])[0] == 1
    assert student(still[0], still[2])[0] == 0


@pytest.mark.parametrize("level", [1e-2, 1e-3])
def test_skewed_values_on_unequal_sides_keep_the_level(level: float) -> None:
    rng = np.random.default_rng(1)
    held = [summary(rng.exponential(size=(500, 2000))) for _ in range(20)]
    small = [summary(rng.exponential(size=(25, 2000))) for _ in range(20)]
    tests = 20 * 2000
    by_welch = sum(int((welch(*s) < level).sum()) for s in zip(held, small, strict=True))
    careful = sum(int((careful_shift(*s).p < level).sum()) for s in zip(held, small, strict=True))
    assert by_welch > 1.8 * level * tests
    assert stats.binomtest(careful, tests, level, "greater").pvalue > 1e-3

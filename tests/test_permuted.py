"""Laws of permutations that decide: they keep the level of skewed families and lose no change."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from nhd_ops.permutation import least_p, permutations_for
from nhd_ops.shift import Effect, Summary, mean_shift, proportion_shift
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.findings import family_findings
from pipelines.analyse.permuted import agreement, confirmation, level
from pipelines.power.draws import passes

AUDIT = Criteria(0.05 / 52 / 5, 0.1)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
Test = Callable[[Summary, Summary], Effect]


def family(one: np.ndarray, other: np.ndarray, test: Test = mean_shift) -> Family:
    names = tuple(f"c{i}" for i in range(one.shape[1]))
    return Family(names, one, other, one[..., None], other[..., None], test)


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.lognormal(sigma=1.3, size=shape)


def rare(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return (rng.random(shape) < np.linspace(0.001, 0.1, shape[1])).astype(float)


def by_q_alone(each: Family, criteria: Criteria) -> bool:
    one = Effect(*(part[None] for part in each.effect()))
    return bool(passes(one, criteria).any())


@pytest.mark.parametrize(
    ("draw", "test", "sizes", "audits"),
    [(skewed, mean_shift, (300, 20), 150), (rare, proportion_shift, (600, 40), 400)],
)
def test_skewed_families_on_unequal_sides_keep_the_rate(
    draw: Draw, test: Test, sizes: tuple[int, int], audits: int
) -> None:
    criteria = Criteria(0.001, 0.0)
    by_q = counted = 0
    for seed in range(audits):
        rng = np.random.default_rng(seed)
        each = family(*(draw(rng, (size, 8)) for size in sizes), test)
        if by_q_alone(each, criteria):
            by_q += 1
            counted += int(confirmation(each, each.effect(), criteria).counts.any())
    assert stats.binomtest(by_q, audits, criteria.alpha, "greater").pvalue < 1e-3
    assert stats.binomtest(counted, audits, criteria.alpha, "greater").pvalue > 0.005


@pytest.mark.parametrize("skew", [False, True])
def test_a_large_change_is_never_lost(skew: bool) -> None:
    for seed, n in enumerate((500, 500, 3000)):
        rng = np.random.default_rng(seed)
        sides = [rng.normal(size=(size, 10)) for size in (n, 500)]
        sides = [np.exp(s / 2) for s in sides] if skew else sides
        sides[1][:, 3] += 0.5 * sides[0].std()
        each = family(*sides)
        found = confirmation(each, each.effect(), AUDIT)
        assert found.decisive and found.counts.tolist() == [i == 3 for i in range(10)]
        assert found.p[3] <= AUDIT.alpha


def test_findings_and_their_causes_hold_what_permutations_let_pass() -> None:
    """On an audit without change that q alone takes for one."""
    criteria = Criteria(1e-3, 0.1)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        each = family(skewed(rng, (300, 8)), skewed(rng, (20, 8)))
        if by_q_alone(each, criteria):
            break
    findings, told = family_findings("concept", each, criteria)
    first = min(findings, key=lambda f: f["q"])
    assert first["q"] < 1e-3 and first["permutation_p"] > level(1e-3)
    assert not (first["passes"] or first["shifted"] or first["hidden"] or first["explained_by"])
    assert not told.shifted.any()
    text = agreement(findings, criteria)
    assert f"do not confirm {first['name']} " in text and "not counted" in text
    again, _ = family_findings("concept", each, criteria)
    assert again == findings


def test_swapping_the_sides_confirms_the_same() -> None:
    rng = np.random.default_rng(4)
    one, other = skewed(rng, (300, 5)), skewed(rng, (120, 5)) * [1, 1, 1.8, 1, 1]
    there, back = family(one, other), family(other, one)
    found = [confirmation(f, f.effect(), Criteria(0.01, 0.1)) for f in (there, back)]
    np.testing.assert_array_equal(found[0].p, found[1].p)
    np.testing.assert_array_equal(found[0].counts, found[1].counts)


def test_of_few_clusters_q_alone_decides_and_says_so() -> None:
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(4), 100)
    one, other = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    other[:, 1] += 2
    each = replace(family(one, other), clusters=(codes, codes))
    found = confirmation(each, each.effect(), AUDIT)
    assert least_p(400, 400, (codes, codes)) == pytest.approx(2 / special.comb(8, 4))
    assert found.p.min() > level(AUDIT.alpha) and not found.decisive
    assert found.counts.tolist() == [False, True, False]
    findings, _ = family_findings("label", each, AUDIT)
    assert findings[1]["passes"] and findings[1]["shifted"]
    assert agreement(findings, AUDIT).startswith("On labels q alone decides")
    many = np.repeat(np.arange(40), 10)
    assert confirmation(replace(each, clusters=(many, many)), each.effect(), AUDIT).decisive


def test_there_are_enough_permutations_to_tell_alpha() -> None:
    assert permutations_for(0.01) == 9_999
    assert permutations_for(AUDIT.alpha) == 51_999
    assert permutations_for(1e-7) == 99_999 and level(1e-7) == pytest.approx(1e-5)
    for alpha in (0.05, 0.01, 1e-3, 1e-4):
        assert level(alpha) == pytest.approx(alpha)

"""Laws of the simulated audits: they are the comparison's own tests, and keep what they promise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nhd_ops.shift import false_discovery, mean_shift, summary
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.domain import cross_fitted_auc
from pipelines.analyse.findings import family_findings
from pipelines.errors import UsageError
from pipelines.power.draws import Sampling, passes, reduced, summaries
from pipelines.power.null import null_audits
from pipelines.power.overall import null_auc
from pipelines.power.plan import PowerPlan
from pipelines.power.planted import planted
from pipelines.power.population import Population, embeddings, population
from pipelines.power.save import save
from pipelines.power.series import null_series
from pipelines.power.simulate import simulate
from pipelines.power.tables import found_as_promised, interval
from tests.jobs.test_cli import nhd
from tests.synthetic_run import NAMES, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_run(tmp_path_factory.mktemp("power") / "run", 800, seed=3, rejected=40)


@pytest.fixture(scope="module")
def world(run: str) -> Population:
    return population(PowerPlan(run))


def most_likely(found: int, tried: int, promised: float) -> bool:
    """Is so many, or more, not impossible if each came with at most the promised chance?"""
    return bool(stats.binomtest(found, tried, promised, "greater").pvalue > 1e-4)


@pytest.mark.parametrize("copies", [1, 3])
def test_summaries_of_many_samples_are_those_of_each(world: Population, copies: int) -> None:
    rng = np.random.default_rng(0)
    for kind in world.kinds:
        rows = Sampling(120, copies).rows(rng, 5, len(kind.values), None)
        assert rows.shape == (5, 120 // copies)
        found = summaries(kind.values, rows, copies)
        for s, drawn in enumerate(rows):
            each = summary(np.repeat(kind.values[drawn], copies, axis=0))
            assert found.count == each.count
            np.testing.assert_allclose(found.mean[s], each.mean, rtol=1e-12)
            np.testing.assert_allclose(found.variance[s], each.variance, rtol=1e-9)


def test_samples_in_shards_are_the_comparisons_clusters(world: Population) -> None:
    rng = np.random.default_rng(0)
    sampling = Sampling(192, copies=3, shard=36)  # 64 different images, 12 of them in a shard
    for kind in world.kinds:
        rows = sampling.rows(rng, 4, len(kind.values), None)
        found = reduced(kind.values, rows, sampling)
        shards = np.repeat(np.arange(64) // 12, 3)
        for s, drawn in enumerate(rows):
            each = summary(np.repeat(kind.values[drawn], 3, axis=0), None, shards)
            np.testing.assert_allclose(found.count[s], each.count, rtol=1e-9)
            np.testing.assert_allclose(found.variance[s], each.variance, rtol=1e-9)
            assert found.freedom == pytest.approx(each.freedom, rel=1e-12)


def test_what_passes_is_what_the_comparison_lets_pass(world: Population) -> None:
    """The very findings of `nhd compare` on the very rows, of which causes are a part."""
    kind, criteria = world["concepts"], Criteria(0.05, 0.05)
    rng = np.random.default_rng(1)
    weights = np.exp(kind.values[:, 0] / kind.values[:, 0].std())
    one = Sampling(200).rows(rng, 6, len(kind.values), None)
    other = Sampling(150).rows(rng, 6, len(kind.values), weights)
    effect = kind.test(summaries(kind.values, one), summaries(kind.values, other))
    fast = passes(effect, criteria)
    assert 0 < fast.sum() < fast.size
    for s in range(6):
        sides = [
            getattr(kind, name)[rows[s]] for name in ("values", "features") for rows in (one, other)
        ]
        findings, _ = family_findings("concept", Family(kind.members, *sides, kind.test), criteria)
        assert [f["passes"] for f in findings] == fast[s].tolist()
        assert not any(f["shifted"] and not f["passes"] for f in findings)


def test_false_alarms_stay_below_every_alpha(world: Population) -> None:
    rng = np.random.default_rng(2)
    criteria = [Criteria(alpha, 0.0) for alpha in (0.01, 0.05)]
    for kind in world.kinds:
        rates, tails = null_audits(kind, Sampling(400), Sampling(300), criteria, 1000, rng)
        for rate in rates:
            assert rate.simulated == 1000
            assert most_likely(rate.alarms, rate.simulated, rate.promised)
        # A single test is not only no more than promised, but near it: the p-values are honest.
        assert tails[0].level == 0.05 and tails[0].share == pytest.approx(0.05, abs=0.012)


def test_a_series_keeps_its_promise_and_without_spending_breaks_it(world: Population) -> None:
    rng = np.random.default_rng(3)
    sides = Sampling(300), Sampling(300)
    plan = PowerPlan("", audits=20, false_alarms=0.2, kinds=2)
    spent = null_series(world.kinds, *sides, plan.alphas, 0.0, 300, rng)
    assert set(spent) == {"one baseline", "previous as baseline"}
    assert all(most_likely(alarms.counted, 300, 0.2) for alarms in spent.values())
    naive = null_series(world.kinds, *sides, [0.2] * 20, 0.0, 20, rng)
    assert min(alarms.counted for alarms in naive.values()) > 0.5 * 20


def test_a_series_of_one_audit_is_an_audit(world: Population) -> None:
    """With one audit both baselines are the same, and the chance is that of one audit."""
    kind = replace(world["labels"], permuted=False)  # half of all audits would be permuted
    rng = np.random.default_rng(4)
    found = null_series([kind], Sampling(200), Sampling(200), [0.5], 0.0, 1500, rng)
    assert found["one baseline"] == found["previous as baseline"]
    rates, _ = null_audits(kind, Sampling(200), Sampling(200), [Criteria(0.5, 0.0)], 1500, rng)
    share, other = found["one baseline"].counted / 1500, rates[0].alarms / 1500
    assert share == pytest.approx(other, abs=4 * (2 * 0.25 / 1500) ** 0.5)


def test_a_planted_shift_is_found_as_often_as_promised(run: str) -> None:
    plan = PowerPlan(
        run, images=(400,), effects=(0.25,), series=0, simulations=600, attributed=2, permuted=4
    )
    *_, cell = simulate(plan).power  # planted at the effect promised to be found in 80 %
    assert cell.promised == 0.8 and cell.expected == pytest.approx(0.9)
    low, high = interval(cell.found, cell.simulated)
    assert high >= 0.8 and low < 0.97 and found_as_promised(cell)
    assert cell.attributed == 2 and cell.named >= 1
    assert cell.permuted == 4 and cell.confirmed >= 3


def test_a_shift_of_nothing_is_found_as_often_as_alpha_says(world: Population) -> None:
    kind, criteria = world["concepts"], Criteria(0.05, 0.0)
    rng = np.random.default_rng(5)
    cell = planted(kind, 1e-6, Sampling(300), Sampling(300), criteria, 1000, 0, 0, rng)
    assert most_likely(cell.found, cell.simulated, 0.05 / len(NAMES))


def test_near_duplicates_break_the_promise_of_independent_images(world: Population) -> None:
    rng = np.random.default_rng(6)
    sides = Sampling(500, copies=5), Sampling(500, copies=5)
    rates, _ = null_audits(world["concepts"], *sides, [Criteria(0.01, 0.1)], 60, rng)
    assert rates[0].alarms > 0.2 * 60
    known = Sampling(500, copies=5, shard=10), Sampling(500, copies=5, shard=10)
    rates, _ = null_audits(world["concepts"], *known, [Criteria(0.01, 0.1)], 1000, rng)
    assert most_likely(rates[0].alarms, rates[0].simulated, 0.01)


def test_what_is_written_is_what_was_simulated(run: str, tmp_path: Path) -> None:
    plan = PowerPlan(
        run, (50,), 60, effects=(0.5,), series=20, simulations=100, attributed=0, permuted=0
    )
    result = simulate(replace(plan, of=("concepts", "labels", "rejects")))
    for name in ("p.json", "p.md"):
        save(result, str(tmp_path / name))
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["population"]["tested"] == {"concepts": 10, "labels": 10}
    kinds = {row["kind"] for row in found["false_alarms"] if row["what"] == "one audit"}
    assert kinds == {"concepts", "labels", "rejects"}
    for row in found["false_alarms"]:
        assert row["low"] <= row["share"] <= row["high"]
        exact = stats.binomtest(row["alarms"], row["simulated"]).proportion_ci(method="exact")
        assert (row["low"], row["high"]) == pytest.approx(tuple(exact))
    assert sum(found["alphas"]) * 5 == pytest.approx(0.05)
    again = simulate(replace(plan, of=("concepts", "labels")))
    first = [rate for rate in result.rates if rate.kind in ("concepts", "labels")]
    assert [r for r in again.rates if r.kind in ("concepts", "labels")] == first
    assert "| 50 " in (tmp_path / "p.md").read_text()


def test_the_classifier_of_one_distribution_raises_no_alarm(run: str) -> None:
    vectors = embeddings(PowerPlan(run))
    rng = np.random.default_rng(8)
    sides = Sampling(150), Sampling(150)
    criteria = [Criteria(alpha, 0.0) for alpha in (0.001, 0.99)]
    strict, loose = null_auc(vectors, *sides, criteria, 12, rng)
    assert strict.alarms == 0 and 0 < loose.alarms <= 12
    apart = np.concatenate([vectors[:150], -vectors[:150]])
    assert cross_fitted_auc(apart[:150], apart[150:]).auc > 0.99


def test_the_command_prints_the_table(run: str, tmp_path: Path) -> None:
    out = tmp_path / "power.json"
    found = nhd(
        "power", "--run", run, "--images", "120", "--effects", "0.5", "--simulations", "100",
        "--series", "10", "--attributed", "0", "--permuted", "2", "--audits", "4",
        "--out", str(out),
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "10 concepts, 10 labels; concepts by similarity" in found.stdout
    assert json.loads(out.read_text())["plan"]["audits"] == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--images", "10"), "at least 30 images"),
        (("--images", "many"), "invalid literal"),
        (("--effects", "0"), "effects lie between"),
        (("--false-alarms", "1.5"), "false_alarms is 1.5"),
        (("--audits", "0"), "audits is 0"),
        (("--simulations", "3"), "at least 100"),
        (("--per-shard", "800"), "needs two of them"),
        (("--of", "moods"), "no kind 'moods'"),
        (("--of", "pairs"), "--keep dense"),
        (("--measure", "grounded"), "extract it with --lens"),
        (("--out", "table.xls"), "ends in .json or .md"),
    ],
)
def test_nonsense_is_refused(run: str, arguments: tuple[str, ...], sentence: str) -> None:
    small = (
        "--series",
        "0",
        "--attributed",
        "0",
        "--permuted",
        "0",
        "--images",
        "50",
        "--effects",
        "0.5",
    )
    named = [
        part
        for a, b in zip(small[::2], small[1::2], strict=True)
        if a not in arguments
        for part in (a, b)
    ]
    found = nhd("power", "--run", run, *named, *arguments)
    assert found.returncode == 2
    assert sentence in found.stderr and found.stderr.count("\n") == 1


def test_p_values_agree_with_the_comparison_for_one_column(world: Population) -> None:
    """`passes` skips audits whose least p is large: no q is below its p."""
    p = np.random.default_rng(7).uniform(size=(200, 9)) ** 3
    q = np.array([false_discovery(row) for row in p])
    assert (q >= p - 1e-15).all()
    effect = mean_shift(summary(world["concepts"].values), summary(world["concepts"].values))
    shaped = effect._replace(effect=np.ones((200, 9)), p=p)
    np.testing.assert_array_equal(passes(shaped, Criteria(0.1, 0.5)), q < 0.1)


def test_a_run_without_concepts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        simulate(PowerPlan(str(tmp_path)))

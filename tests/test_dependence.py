"""Laws of the comparison where images depend on each other, and of what is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.analyse.attribution import Criteria
from pipelines.analyse.clusters import clustered
from pipelines.analyse.compare import ComparePlan, Comparison, analyse, compare, load
from pipelines.analyse.domain import cross_fitted_auc
from pipelines.analyse.missing import missing_findings, reject_findings
from pipelines.errors import UsageError
from tests.synthetic_run import make_run

N = 1200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dependence")


@pytest.fixture(scope="module")
def copied(folder: Path) -> str:
    return make_run(folder / "copied", N, seed=1, copies=6, shards=12)


@pytest.fixture(scope="module")
def other(folder: Path) -> str:
    """The same world, copied too; one shard of it is damaged, some years are lost."""
    return make_run(folder / "other", N, seed=2, copies=6, shards=12, damaged=100, yearless=0.2)


@pytest.fixture(scope="module")
def found(folder: Path, copied: str, other: str) -> Comparison:
    return compare(ComparePlan(str(folder / "report"), copied, other))


@pytest.fixture(scope="module")
def naive(found: Comparison) -> Comparison:
    """The same, as if images were independent."""
    return analyse(replace(found.plan, cluster="none"), load(found.plan))


def by_name(comparison: Comparison, kind: str) -> dict[str, dict]:
    return {finding["name"]: finding for finding in comparison.of(kind)}


def test_copies_in_shards_are_seen_and_cost_certainty(found: Comparison, naive: Comparison) -> None:
    dependence = found.summary["dependence"]
    assert dependence["by"] == "shard" and dependence["clusters"] == [12, 12]
    assert min(dependence["p"]) <= 0.005
    assert 3 < np.mean(dependence["design_effect"]) < 12  # 6 copies
    assert "The unit is the shard" in dependence["sentence"]
    assert naive.summary["dependence"]["by"] is None
    wide, narrow = by_name(found, "concept"), by_name(naive, "concept")
    assert all(wide[name]["p"] >= narrow[name]["p"] for name in wide)
    widths = [
        (wide[n]["high"] - wide[n]["low"]) / (narrow[n]["high"] - narrow[n]["low"]) for n in wide
    ]
    assert 1.5 < np.median(widths) < 4  # √6, and Student's t of 12 clusters
    for kind in ("concept", "label", "pair", "overall"):
        assert found.shifted(kind) == []
    assert naive.summary["auc"]["low"] > 0.5  # the classifier has met the copies
    assert found.summary["auc"]["low"] < 0.5 < found.summary["auc"]["high"]
    assert found.summary["control"]["unit"] == "clusters"
    assert found.summary["control"]["kinds"]["concept"]["splits_with_alarm"] <= 3


def test_swapping_dependent_sides_flips_every_effect(
    found: Comparison, copied: str, other: str
) -> None:
    plan = ComparePlan("", other, copied)
    swapped = analyse(plan, load(plan))
    for kind in ("concept", "label", "rejects", "missing"):
        there, back = by_name(found, kind), by_name(swapped, kind)
        assert there.keys() == back.keys() and there
        for name, finding in there.items():
            for field, mirrored in (("effect", "effect"), ("low", "high"), ("high", "low")):
                assert back[name][mirrored] == pytest.approx(-finding[field], abs=1e-9)
            for field in {"p", "q", "permutation_p"} & finding.keys():
                assert back[name][field] == pytest.approx(finding[field], rel=1e-6, abs=1e-9)
    one, two = (c.summary["auc"]["effect"] for c in (found, swapped))
    assert one == pytest.approx(two, abs=1e-6)


def test_every_effect_has_an_interval_around_it(found: Comparison) -> None:
    for finding in found.findings:
        assert finding["low"] <= finding["effect"] <= finding["high"], finding
        if "adjusted_effect" in finding:
            assert finding["adjusted_low"] <= finding["adjusted_effect"]
            assert finding["adjusted_effect"] <= finding["adjusted_high"]
        if finding["kind"] in ("concept", "label"):
            assert 1e-4 <= finding["permutation_p"] <= 1


def test_a_damaged_shard_is_one_event(
    found: Comparison, naive: Comparison, copied: str, folder: Path
) -> None:
    rejects = by_name(found, "rejects")["all"]
    assert rejects["unit"] == "clusters" and rejects["current_count"] == 100
    assert not rejects["shifted"] and rejects["p"] > 0.05
    counted = naive.of("rejects")[0]
    assert counted["shifted"] and counted["p"] < 1e-20 and counted["unit"] == "samples"
    spread = make_run(folder / "spread", N, seed=3, shards=12, rejected=9)
    everywhere = reject_findings(load(ComparePlan("", copied, spread)), Criteria(0.01, 0.1))[0]
    assert everywhere["shifted"] and everywhere["current_count"] == 108


def test_lost_values_are_a_change_of_their_own(found: Comparison) -> None:
    missing = by_name(found, "missing")
    assert missing.keys() == {"year", "samples per shard"}
    year = missing["year"]
    assert year["current"] == pytest.approx(0.2) and year["baseline"] == 0
    assert year["shifted"] and year["direction"] == "up"
    shards = missing["samples per shard"]
    assert shards["baseline"] == pytest.approx(100) and shards["p"] > 0.05
    page = (Path(found.plan.out) / "index.html").read_text()
    assert "Values that are not there" in page and "samples per shard" in page


def test_shards_packed_anew_raise_no_alarm(folder: Path) -> None:
    runs = [make_run(folder / f"packed{n}", N, seed=10, shards=n) for n in (12, 10)]
    found = missing_findings(load(ComparePlan("", *runs)), Criteria(0.01, 0.1))
    assert [f["name"] for f in found] == ["samples per shard"]
    assert found[0]["baseline"] == 100 and found[0]["current"] == 120
    assert found[0]["effect"] == pytest.approx(np.log(1.2)) and not found[0]["shifted"]


def test_independent_images_stay_independent(folder: Path) -> None:
    runs = [make_run(folder / f"plain{seed}", N, seed=seed, shards=12) for seed in (4, 5)]
    sides = load(ComparePlan("", *runs))
    same, clustering = clustered(sides, "auto", "similarity", 0)
    assert clustering.by is None and same is sides
    assert "not more alike than chance allows" in clustering.sentence


def test_few_clusters_are_told_and_one_is_refused(folder: Path, copied: str) -> None:
    three = make_run(folder / "three", N, seed=6, copies=6, shards=3)
    _, clustering = clustered(load(ComparePlan("", copied, three)), "shard", "similarity", 0)
    assert "With 3 clusters on a side" in clustering.sentence
    single = make_run(folder / "single", 300, seed=7, shards=1)
    sides = load(ComparePlan("", copied, single))
    kept, clustering = clustered(sides, "auto", "similarity", 0)
    assert clustering.by is None and kept.baseline.clusters is None
    assert "current has one shard only" in clustering.sentence
    with pytest.raises(UsageError, match="single value of 'shard'"):
        clustered(sides, "shard", "similarity", 0)
    with pytest.raises(UsageError, match="'city' is none"):
        load(ComparePlan("", copied, single, cluster="city"))


def test_a_column_may_say_what_belongs_together(copied: str, other: str) -> None:
    plan = ComparePlan("", copied, other, cluster="year")
    sides, clustering = clustered(load(plan), "year", "similarity", 0)
    assert clustering.by == "year"
    years = sides.current.rows["year"]
    codes = sides.current.clusters
    assert codes is not None
    assert len(set(codes[years.isna()].tolist())) == int(years.isna().sum())  # each is alone
    assert len(set(codes[(years == 2020).fillna(False).to_numpy(bool)].tolist())) == 1


def test_names_and_number_of_shards_do_not_matter_to_independent_images(folder: Path) -> None:
    order = np.random.default_rng(0).permutation(400)
    base = make_run(folder / "base", 400, seed=8, shards=2)
    again = make_run(folder / "again", 400, seed=8, shards=5, order=order)
    current = make_run(folder / "now", 400, seed=9, boost={"yellow": 3}, shards=2)
    plans = [ComparePlan("", url, current, cluster="none") for url in (base, again)]
    one, two = (by_name(analyse(plan, load(plan)), "concept") for plan in plans)
    for name in one:
        for field in ("effect", "low", "high", "q", "permutation_p"):
            assert one[name][field] == pytest.approx(two[name][field], rel=1e-4, abs=1e-9)


def test_copies_on_both_sides_of_a_fold_deceive_a_classifier_that_ignores_them() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(40), 10)
    sides = [rng.normal(size=(40, 16))[codes] + 0.05 * rng.normal(size=(400, 16)) for _ in "ab"]
    order = [rng.permutation(400) for _ in sides]
    mixed, clusters = [s[o] for s, o in zip(sides, order, strict=True)], [codes[o] for o in order]
    blind = cross_fitted_auc(*mixed)
    assert blind.auc > 0.5 + 3.5 * blind.error
    grouped = cross_fitted_auc(*mixed, (clusters[0], 40 + clusters[1]))
    assert abs(grouped.auc - 0.5) < 3 * grouped.error
    assert grouped.error > 2 * blind.error


def test_the_auc_of_one_distribution_is_as_sure_as_it_says() -> None:
    """Folds share training data, so DeLong's error alone is too small."""
    rng = np.random.default_rng(7)
    z = []
    for _ in range(120):
        found = cross_fitted_auc(rng.standard_normal((150, 24)), rng.standard_normal((150, 24)))
        z.append((found.auc - 0.5) / found.error)
    assert abs(np.mean(z)) < 0.3
    assert 0.7 < np.std(z) < 1.15
    assert np.std(z) * 1.5 > 1.2  # what it would be without the folds' part

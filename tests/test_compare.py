"""Laws of the comparison: symmetry, nothing from nothing, planted truth, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nhd_ops.shift import mean_shift, proportion_shift, summary
from pipelines.analyse.attribution import Criteria, Family, attribute
from pipelines.analyse.compare import ComparePlan, Comparison, analyse, compare, load, verdict
from pipelines.analyse.domain import cross_fitted_auc, overlap_weights
from pipelines.errors import UsageError
from tests.synthetic_run import NAMES, NEURONS, make_run, truth

CRITERIA = Criteria(alpha=0.01, floor=0.1)
N = 1200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def plain(folder: Path) -> str:
    return make_run(folder / "plain", N, seed=1, bucket="year")


@pytest.fixture(scope="module")
def boosted(folder: Path) -> str:
    return make_run(folder / "boosted", N, seed=2, boost={"yellow": 3, "car": 2}, rejected=20)


@pytest.fixture(scope="module")
def found(folder: Path, plain: str, boosted: str) -> Comparison:
    return compare(ComparePlan(str(folder / "report"), plain, boosted))


def by_name(comparison: Comparison, kind: str) -> dict[str, dict]:
    return {finding["name"]: finding for finding in comparison.of(kind)}


def test_the_planted_changes_are_found_and_no_other(found: Comparison) -> None:
    assert {(f["name"], f["direction"]) for f in found.shifted()} == {
        ("yellow", "up"),
        ("car", "up"),
    }
    assert {f["name"] for f in found.shifted("label")} == {"yellow", "car"}
    assert found.summary["verdict"].startswith("2 of 10 concepts changed")
    assert found.of("overall")[0]["shifted"]
    assert found.of("overall")[0]["low"] > 0.5


def test_what_follows_is_told_by_its_cause(found: Comparison) -> None:
    orange = by_name(found, "concept")["orange"]  # scores higher on yellow things
    assert orange["passes"] and not orange["shifted"]
    assert orange["explained_by"] == ["yellow"]
    assert abs(orange["adjusted_effect"]) < abs(orange["effect"]) / 2


def test_swapping_the_sides_flips_every_effect(
    folder: Path, plain: str, boosted: str, found: Comparison
) -> None:
    plan = ComparePlan(str(folder / "swapped"), boosted, plain)
    swapped = analyse(plan, load(plan))
    for kind in ("concept", "label", "rejects", "pair"):
        there, back = by_name(found, kind), by_name(swapped, kind)
        assert there.keys() == back.keys()
        for name, finding in there.items():
            assert back[name]["effect"] == pytest.approx(-finding["effect"], abs=1e-9)
            assert back[name]["low"] == pytest.approx(-finding["high"], abs=1e-9)
            assert back[name]["q"] == pytest.approx(finding["q"], abs=1e-9)
            assert back[name]["shifted"] == finding["shifted"]
            if "adjusted_effect" in finding:
                assert back[name]["adjusted_effect"] == pytest.approx(
                    -finding["adjusted_effect"], abs=1e-5
                )
    aucs = (c.of("overall")[0]["effect"] for c in (found, swapped))
    assert next(aucs) == pytest.approx(next(aucs), abs=1e-6)


def test_two_runs_of_the_same_world_differ_in_nothing(folder: Path, plain: str) -> None:
    again = make_run(folder / "again", N, seed=3)
    plan = ComparePlan(str(folder / "null"), plain, again)
    null = analyse(plan, load(plan))
    assert [f for f in null.findings if f["shifted"]] == []
    assert null.summary["verdict"] == "None of 10 concepts changed"
    overall = null.of("overall")[0]
    assert overall["low"] < 0.5 < overall["high"]
    control = null.summary["control"]
    assert control["kinds"]["concept"]["splits_with_alarm"] <= 3
    assert not control["auc"]["shifted"]


def test_a_run_compared_with_itself_is_exactly_the_same(folder: Path, plain: str) -> None:
    plan = ComparePlan(str(folder / "self"), plain, plain)
    same = analyse(plan, load(plan))
    assert same.of("overall")[0]["effect"] == pytest.approx(0.5, abs=1e-12)
    assert {f["effect"] for f in same.of("concept") + same.of("label")} == {0.0}


def test_the_order_of_rows_and_the_sharding_change_nothing(
    folder: Path, boosted: str, found: Comparison
) -> None:
    order = np.random.default_rng(0).permutation(N)
    moved = make_run(folder / "moved", N, seed=1, bucket="year", order=order, shards=3)
    plan = ComparePlan(str(folder / "moved_report"), moved, boosted)
    other = analyse(plan, load(plan))
    for kind in ("overall", "concept", "label", "pair"):
        there, here = by_name(found, kind), by_name(other, kind)
        for name, finding in there.items():
            if kind == "concept":  # the synthetic score has noise of its own
                finding.pop("score"), here[name].pop("score")
            for field in ("effect", "low", "high", "q"):
                assert here[name][field] == pytest.approx(finding[field], rel=1e-5, abs=1e-9)


def test_pairs_have_the_effect_of_their_stored_coefficients(
    found: Comparison, plain: str, boosted: str
) -> None:
    sides = [s.rows["key"] for s in (found.sides.baseline, found.sides.current)]
    assert [len(s) for s in sides] == [N, N]
    tables = [s.run.images(["coefficients"]) for s in (found.sides.baseline, found.sides.current)]
    first = [np.stack(t["coefficients"].to_pylist())[:, 0] for t in tables]  # pair 0
    expected = mean_shift(summary(first[0]), summary(first[1]))
    assert found.pairs is not None
    row = found.pairs.set_index("pair").loc[0]
    assert row["effect"] == pytest.approx(float(expected.effect), rel=1e-5)
    assert row["p"] == pytest.approx(float(expected.p), rel=1e-3)


def test_the_pair_behind_a_concept_is_the_one_that_follows_it(found: Comparison) -> None:
    for name in ("yellow", "car"):
        pairs = by_name(found, "concept")[name]["pairs"]
        assert pairs[0]["pair"] == NAMES.index(name)  # head 0 sees concept i in neuron i
        assert pairs[0]["head"] == 0 and pairs[0]["neuron"] == NAMES.index(name) % NEURONS
        assert pairs[0]["correlation"] > 0.5


def test_rejects_are_tested_by_reason(found: Comparison) -> None:
    rejects = by_name(found, "rejects")
    assert rejects.keys() == {"all", "truncated"}
    assert rejects["truncated"]["shifted"] and rejects["truncated"]["direction"] == "up"
    assert rejects["all"]["current"] == pytest.approx(40 / (N + 40))


def test_labels_are_followed_as_scipy_says(found: Comparison) -> None:
    from scipy.stats import pointbiserialr

    rows = found.sides.current.rows
    expected = pointbiserialr(rows["car"].astype(bool), rows["similarity_car"]).statistic
    table = found.truth.set_index(["side", "label"])
    assert table.loc[("current", "car"), "r_similarity"] == pytest.approx(expected, abs=1e-6)
    assert table.loc[("current", "car"), "pair"] == NAMES.index("car")


def test_the_files_hold_the_findings(found: Comparison) -> None:
    out = Path(found.plan.out)
    listed = json.loads((out / "findings.json").read_text())
    assert [f["name"] for f in listed] == [f["name"] for f in found.findings]
    frame = pd.read_parquet(out / "findings.parquet")
    np.testing.assert_allclose(frame["effect"], [f["effect"] for f in listed])
    assert len(pq.read_table(out / "pairs.parquet")) == 2 * NEURONS
    assert (out / "labels.parquet").exists() and (out / "index.html").exists()
    summary_ = json.loads((out / "summary.json").read_text())
    assert summary_["baseline"]["images"] == N
    assert summary_["current"]["rejected"] == 40


def test_buckets_of_one_run_have_pairs_only_where_moments_were_kept(
    folder: Path, plain: str, boosted: str
) -> None:
    kept = compare(ComparePlan(str(folder / "years"), run=plain, by="year"))
    assert kept.sides.baseline.name == "year = 2019" and kept.sides.current.name == "year = 2021"
    assert kept.pairs is not None
    assert kept.sides.baseline.pairs is not None
    assert kept.sides.baseline.pairs.count == len(kept.sides.baseline.rows)
    assert kept.trend is not None and set(kept.trend["value"]) == {"2019", "2020", "2021"}
    assert "red" in {f["name"] for f in kept.shifted()}  # red images are a year later
    lost = compare(ComparePlan(str(folder / "years2"), run=boosted, by="year"))
    assert lost.pairs is None and lost.of("rejects") == []
    assert "--buckets year" in (folder / "years2" / "index.html").read_text()
    chosen = ComparePlan("", run=plain, by="year", values=("2021", "2020"))
    assert load(chosen).baseline.name == "year = 2021"


def test_what_cannot_be_compared_is_refused(folder: Path, plain: str) -> None:
    other = make_run(folder / "weights", 60, weights="b" * 64)
    few = make_run(folder / "few", 20)
    red = make_run(folder / "red", 60, names=["red"])
    car = make_run(folder / "car", 60, names=["car"])
    refused = [
        (ComparePlan("", plain, other), "different model weights"),
        (ComparePlan("", plain, few), "at least 30"),
        (ComparePlan("", red, car), "share no concept"),
        (ComparePlan("", plain, str(folder / "nowhere")), "not a run folder"),
        (ComparePlan("", run=plain, by="colour"), "no column 'colour'; it has "),
        (ComparePlan("", run=plain, by="year", values=("1999", "2020")), "no value '1999'"),
    ]
    for plan, sentence in refused:
        with pytest.raises(UsageError, match=sentence):
            load(plan)
    for wrong in ({"baseline": plain}, {"run": plain}, {}, {"run": plain, "baseline": plain}):
        with pytest.raises(UsageError, match="give either"):
            ComparePlan("", **wrong)


def test_only_common_concepts_are_compared(folder: Path, plain: str) -> None:
    fewer = make_run(folder / "fewer", 300, seed=5, names=["car", "red"])
    sides = load(ComparePlan("", plain, fewer))
    assert [c.slug for c in sides.concepts] == ["red", "car"]
    assert set(sides.dropped) == set(NAMES) - {"red", "car"}


def family(seed: int, boost: dict[str, float], n: int = 1000, noise: float = 0.5) -> Family:
    """One colour of six per image, seen through noise; orange scores half on yellow."""
    rng = np.random.default_rng(seed)
    names = NAMES[:6]
    sides = []
    for tilt in ({}, boost):
        p = np.array([tilt.get(name, 1.0) for name in names])
        present = np.eye(6)[rng.choice(6, n, p=p / p.sum())]
        present[:, 1] += 0.5 * present[:, 2]
        sides.append(present + noise * rng.normal(size=present.shape))
    features = [s[..., None] for s in sides]
    return Family(names, sides[0], sides[1], features[0], features[1], mean_shift)


def shifted(f: Family) -> set[str]:
    told = attribute(f, f.effect(), CRITERIA)
    return {name for name, yes in zip(f.names, told.shifted, strict=True) if yes}


@pytest.mark.parametrize(
    ("boost", "expected"),
    [({"yellow": 3}, {"yellow"}), ({"yellow": 3, "blue": 3}, {"yellow", "blue"}), ({}, set())],
)
def test_in_a_family_only_what_was_boosted_is_named(boost: dict, expected: set) -> None:
    named = [shifted(family(seed, boost, n=3000)) for seed in range(20)]
    assert sum(names == expected for names in named) >= 19
    if expected:
        marginal = family(0, boost).effect()
        assert (np.abs(marginal.effect) > 0.1).sum() > len(expected)  # the rest did move


def test_nothing_is_named_where_nothing_changed() -> None:
    alarms = sum(bool(shifted(family(seed, {}, n=300))) for seed in range(300))
    assert alarms <= 8  # alpha is 1 %; 8 of 300 would happen once in 70 suites at exactly that


def test_labels_are_told_apart_too() -> None:
    sides = [truth(3000, 1, {})[:, :6], truth(3000, 2, {"yellow": 2.5})[:, :6]]
    values = [s.astype(float) for s in sides]
    f = Family(NAMES[:6], *values, *(v[..., None] for v in values), proportion_shift)
    assert shifted(f) == {"yellow"}


def test_overlap_weights_balance_what_they_are_given() -> None:
    f = family(4, {"yellow": 4})
    yellow = f.baseline[:, 2:3], f.current[:, 2:3]
    weights = overlap_weights(*yellow)
    before = mean_shift(summary(yellow[0]), summary(yellow[1]))
    after = mean_shift(summary(yellow[0], weights[0]), summary(yellow[1], weights[1]))
    assert abs(before.effect[0]) > 0.3
    assert abs(after.effect[0]) < 0.01
    back = overlap_weights(yellow[1], yellow[0])
    np.testing.assert_allclose(back[1], weights[0], atol=1e-6)


def test_the_classifier_sees_a_shift_and_does_not_dream() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(500, 12)), rng.normal(size=(700, 12))
    null = cross_fitted_auc(a, b)
    assert abs(null.auc - 0.5) < 3 * null.error
    moved = cross_fitted_auc(a, b + 0.3)
    assert moved.auc > 0.5 + 5 * moved.error


def test_the_verdict_is_one_sentence() -> None:
    up = {"text": "yellow", "direction": "up"}
    down = {"text": "a red car", "direction": "down"}
    assert verdict([up, down], 9) == "2 of 9 concepts changed: yellow (more), a red car (less)"
    assert verdict([], 9) == "None of 9 concepts changed"
    assert verdict([], 1) == "The one concept tested did not change"
    assert verdict([up], 1) == "The one concept tested changed: yellow (more)"
    assert verdict([up], 1000).startswith("1 of 1,000 concepts changed")
    assert verdict([up] * 8, 9).endswith("yellow (more) and 2 more")


def test_a_higher_floor_never_finds_more(found: Comparison, plain: str, boosted: str) -> None:
    plan = replace(found.plan, floor=0.37)
    strict = analyse(plan, load(plan))
    names = {f["name"] for f in found.shifted()}
    assert {f["name"] for f in strict.shifted()} < names

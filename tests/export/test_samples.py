"""Laws of the flagged samples: the strongest, from where the change is; nothing from nothing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.analyse import samples
from pipelines.analyse.attribution import Criteria
from pipelines.analyse.compare import ComparePlan, Comparison, compare, load
from pipelines.analyse.domain import cross_fitted
from pipelines.analyse.findings import overall_finding
from pipelines.analyse.sides import Sides
from pipelines.io.store import Run
from tests.export.reports import add_rejects
from tests.synthetic_run import make_run

N = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def found(folder: Path) -> Comparison:
    one = make_run(folder / "one", N, seed=1)
    other = make_run(folder / "other", N, seed=2, boost={"yellow": 5})
    return compare(ComparePlan(str(folder / "report"), one, other))


def flags_of(sides: Sides, *changed: tuple[str, str]) -> pa.Table:
    """What is flagged where just these concepts changed, each in a direction."""
    classified = cross_fitted(sides.baseline.embeddings(N), sides.current.embeddings(N))
    findings = [overall_finding(classified.auc, Criteria(alpha=0.01, floor=0.1))]
    for name, direction in changed:
        finding = {"kind": "concept", "name": name, "text": name, "direction": direction}
        findings.append(finding | {"shifted": True})
    return samples.flagged(sides, findings, classified, "similarity", seed=0)


def test_the_file_is_the_table(found: Comparison, folder: Path) -> None:
    written = pq.read_table(folder / "report" / "samples.parquet")
    assert written.schema.remove_metadata() == samples.SAMPLES
    assert written.equals(found.samples.cast(written.schema))
    assert set(written["why"].to_pylist()) == {"concept", "classifier"}


@pytest.mark.parametrize(("direction", "way"), [("up", 1), ("down", -1)])
def test_no_image_beyond_those_of_a_concept_is_stronger(
    found: Comparison, direction: str, way: int
) -> None:
    table = flags_of(found.sides, ("car", direction)).to_pandas()
    for which in ("baseline", "current"):
        side = getattr(found.sides, which)
        values = side.rows.set_index(["shard", "key"])["similarity_car"]
        part = table[(table["name"] == "car") & (table["side"] == which)]
        assert len(part) == samples.TAIL * N and list(part["rank"]) == list(range(len(part)))
        rest = values.drop(list(zip(part["shard"], part["key"], strict=True)))
        assert (way * part["value"]).is_monotonic_decreasing
        assert (way * rest).max() <= (way * part["value"]).min()


def test_quantiles_are_those_of_the_baseline(found: Comparison) -> None:
    baseline = found.sides.baseline.rows["similarity_yellow"].to_numpy()
    for row in found.samples.to_pylist():
        assert 0 <= row["baseline_quantile"] <= 1
        if row["name"] == "yellow":
            literal = np.mean([(b < row["value"]) + (b == row["value"]) / 2 for b in baseline])
            assert row["baseline_quantile"] == pytest.approx(literal)


def test_the_classifier_is_sure_of_images_that_are_of_their_side(found: Comparison) -> None:
    table = found.samples.to_pandas().query("why == 'classifier'")
    assert (table["value"] > 0).equals(table["side"] == "current")
    assert 0 < len(table) <= 2 * samples.TAIL * N
    yellow = found.sides.current.rows.set_index(["shard", "key"])["yellow"].astype(float)
    current = table[table["side"] == "current"]
    flagged = yellow.loc[list(zip(current["shard"], current["key"], strict=True))]
    assert flagged.mean() > yellow.mean() + 0.2  # yellow is what tells them apart


def test_neither_the_order_of_rows_nor_shards_matter(folder: Path, found: Comparison) -> None:
    order = np.random.default_rng(0).permutation(N)
    moved = make_run(folder / "moved", N, 2, {"yellow": 5}, order=order, shards=3)
    plan = ComparePlan("unused", found.plan.baseline, moved)
    again = flags_of(load(plan), *((f["name"], f["direction"]) for f in found.shifted()))
    exact = ["side", "key", "why", "name", "text", "rank"]
    assert again.select(exact).equals(found.samples.select(exact))
    for name in ("value", "baseline_quantile"):
        np.testing.assert_allclose(again[name], found.samples[name], rtol=1e-6)


def test_nothing_is_flagged_where_nothing_changed(folder: Path, found: Comparison) -> None:
    same = make_run(folder / "same", N, seed=3)
    assert flags_of(load(ComparePlan("unused", found.plan.baseline, same))).num_rows == 0


def test_some_rejects_of_every_reason_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_REJECTS", 6)
    run = Run(make_run(folder / "lossy", N, seed=4, rejected=40))
    for number, shard in enumerate(sorted(run.done())):
        many = [(f"{number}-{i}", "empty_image", "") for i in range(39)]
        add_rejects(run, shard, [*many, ("one", "not_finite", "a detail")])
    lost = flags_of(load(ComparePlan("unused", run.url, run.url))).to_pandas()
    assert set(lost["why"]) == {"reject"} and set(lost["side"]) == {"current"}
    assert list(lost["rank"]) == list(range(6)) and lost["value"].isna().all()
    assert lost["name"].value_counts().to_dict() == {"empty_image": 4, "not_finite": 2}
    assert set(lost.loc[lost["name"] == "not_finite", "text"]) == {"a detail"}


def test_nobody_is_judged_by_a_classifier_that_has_seen_them() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 40))  # so wide that a classifier knows every row it has seen
    told = cross_fitted(rows, rows)
    np.testing.assert_allclose(told.baseline, told.current)  # else the two copies would differ
    other = rng.normal(size=(60, 40)) + 0.3
    clusters = np.arange(60) // 3, 20 + np.arange(60) // 3
    grouped = cross_fitted(rows, other, clusters)
    beaten = np.mean(grouped.current[:, None] > grouped.baseline)
    assert beaten == pytest.approx(grouped.auc.auc, abs=0.05)  # folds differ a little in scale

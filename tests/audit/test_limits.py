"""What crosses a limit and what does not, held against a comparison of runs of known truth."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nhd_ops.shift import false_discovery
from pipelines.analyse.compare import ComparePlan, compare
from pipelines.audit.alarms import Alarms, alarms_of
from pipelines.audit.limits import rows_of
from pipelines.audit.report import Report, read_report
from pipelines.audit.sentence import sentence
from pipelines.audit.settings import Baseline, Family, Schedule, Settings, Thresholds
from pipelines.audit.trend import trend_bytes, trend_of
from pipelines.audit.verdict import since
from pipelines.errors import UsageError
from tests.synthetic_run import NAMES, NEURONS, make_run

ALPHA = 0.01
N = 500
ALARMS = Alarms(1, ALPHA * 5, ("concepts", "labels", "pairs", "auc", "rejects"))
COUNTS = {"read": N, "written": N, "rejected": 0}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Yellow grew, so orange, which resembles it, scores higher, and other colours fell."""
    folder = tmp_path_factory.mktemp("limits")
    one = make_run(folder / "a", N, seed=1)
    other = make_run(folder / "b", N, seed=2, boost={"yellow": 5}, rejected=40)
    compare(ComparePlan(str(folder / "out"), one, other, alpha=ALPHA))
    return read_report(str(folder / "out"))


def settings(**limits: Any) -> Settings:
    off = {"concepts": None, "labels": None, "auc": None, "rejects": None, "missing": None}
    return Settings("t", "o", "i", labels=NAMES, thresholds=Thresholds(**{**off, **limits}))


def crossed(report: Report, **limits: Any) -> set[str]:
    rows = rows_of(settings(**limits), ALARMS, report, COUNTS)
    return {row["name"] for row in rows if row["state"] == "crossed"}


def test_only_what_stands_on_its_own_crosses_its_limit(report: Report) -> None:
    rows = rows_of(settings(concepts={"default": 0.2}), ALARMS, report, COUNTS)
    concepts = {row["name"]: row for row in rows if row["kind"] == "concept"}
    assert set(concepts) == set(NAMES)
    assert [n for n, row in concepts.items() if row["state"] == "crossed"] == ["yellow"]
    orange = concepts["orange"]
    assert orange["state"] == "follows" and orange["explained_by"] == ["yellow"]
    assert abs(orange["value"]) >= 0.2


def test_a_limit_of_its_own_comes_before_the_default(report: Report) -> None:
    effect = next(f["effect"] for f in report.of("concept") if f["name"] == "yellow")
    assert crossed(report, concepts={"default": 0.2, "yellow": effect}) == {"yellow"}
    assert crossed(report, concepts={"default": 0.2, "yellow": effect * 1.001}) == set()
    assert crossed(report, concepts={"default": 0.2, "yellow": None}) == set()
    assert crossed(report, concepts={"yellow": 0.2}) == {"yellow"}
    with pytest.raises(UsageError, match="names 'gold', but both runs have: yellow, orange"):
        crossed(report, concepts={"gold": 0.2})


def test_labels_have_limits_too(report: Report) -> None:
    assert crossed(report, labels={"default": 0.2}) == {"yellow"}
    assert crossed(report, labels={"default": 0.2, "yellow": 3.0}) == set()


def test_a_family_is_judged_by_its_largest_sure_pair(report: Report) -> None:
    every = report.pairs()
    place = NAMES.index("yellow")  # of the pair that follows it, in head 0
    limit = {"limit": 0.3}
    families = {
        "one": Family(pairs=(place,), **limit),
        "head": Family(heads=(0,), **limit),
        "other head": Family(heads=(1,), **limit),
        "neuron": Family(neurons=(place,), **limit),
        "high": Family(pairs=(place,), limit=9.0),
        "unwatched": Family(pairs=(place,), limit=None),
    }
    rows = rows_of(settings(pairs=families, concepts={"yellow": 0.2}), ALARMS, report, COUNTS)
    found = {row["name"]: row for row in rows if row["kind"] == "pairs"}
    states = {name: row["state"] for name, row in found.items()}
    assert {n for n, state in states.items() if state == "crossed"} == {"one", "head", "neuron"}
    assert found["high"]["state"] == "changed" and "unwatched" not in found
    head = every[every["head"] == 0]
    sure = head[false_discovery(head["p"].to_numpy()) < ALPHA / 5]
    assert found["head"]["value"] == sure.loc[sure["effect"].abs().idxmax(), "effect"]
    assert found["head"]["pair"] == place
    assert found["head"]["explained_by"] == ["yellow"] and states["other head"] == "passed"
    for concepts in (None, {"yellow": 9.0}):  # then nothing else would be named as the cause
        alone = rows_of(settings(pairs=families, concepts=concepts), ALARMS, report, COUNTS)
        assert not [row for row in alone if row["kind"] == "pairs" and row["explained_by"]]


def test_a_family_of_units_that_the_model_lacks_is_refused(report: Report) -> None:
    with pytest.raises(
        UsageError, match=rf"names neuron {NEURONS}, but the model has neurons 0 to"
    ):
        crossed(report, pairs={"f": Family(neurons=(NEURONS,), limit=1.0)})


def test_the_auc_crosses_at_its_limit(report: Report) -> None:
    auc = next(report.of("overall"))["effect"]
    assert auc > 0.55
    assert crossed(report, auc=auc) == {"auc"} and crossed(report, auc=auc + 1e-6) == set()


def rates(report: Report, **changes: Any) -> Report:
    """The report with other numbers of rejects or missing values."""
    given = {"kind": "rejects", "name": "all", "effect": 1.0, "q": 1e-9, "direction": "up"}
    others = [f for f in report.findings if f["kind"] not in ("rejects", "missing")]
    return Report(report.url, [*others, given | changes], report.summary)


@pytest.mark.parametrize(
    ("rejected", "baseline", "q", "crosses"),
    [
        (60, 0.01, 1e-9, True),  # over the limit, and surely more than before
        (60, 0.11, 0.5, False),  # over the limit by chance
        (60, 0.13, 0.5, True),  # over the limit on both sides: that is no chance
        (30, 0.01, 1e-9, False),  # surely more, but within the limit
    ],
)
def test_rejects_cross_if_they_surely_do(
    report: Report, rejected: int, baseline: float, q: float, crosses: bool
) -> None:
    counts = COUNTS | {"rejected": rejected}
    changed = rates(report, baseline=baseline, current=rejected / N, q=q)
    rows = rows_of(settings(rejects=0.12), ALARMS, changed, counts)
    assert [row["state"] for row in rows if row["kind"] == "rejects"] == (
        ["crossed"] if crosses else ["passed"]
    )


def test_without_a_baseline_the_rate_alone_decides() -> None:
    for rejected, state in ((60, "crossed"), (30, "passed")):
        counts = COUNTS | {"rejected": rejected}
        rows = rows_of(settings(rejects=0.1), ALARMS, None, counts)
        assert [row["state"] for row in rows] == [state]


def test_missing_values_cross_by_column_and_shard_sizes_never(report: Report) -> None:
    given = {"kind": "missing", "baseline": 0.0, "current": 0.4}
    year = rates(report, **given, name="year")
    assert crossed(year, missing=0.3) == {"year"} and crossed(year, missing=0.5) == set()
    assert crossed(year) == set()
    sizes = rates(report, **given, name="samples per shard")
    assert crossed(sizes, missing=0.3) == set()


def test_a_real_change_of_rejects_is_found(report: Report) -> None:
    counts = COUNTS | {"read": N + 80, "rejected": 80}
    rows = rows_of(settings(rejects=0.1), ALARMS, report, counts)
    assert next(row for row in rows if row["kind"] == "rejects")["state"] == "crossed"


def verdict(number: int, *names: str) -> dict[str, Any]:
    """A verdict in which these concepts crossed their limits."""
    marks = [{"threshold": "concept", "name": name} for name in names]
    return {"name": f"w{number}", "number": number, "crossed": marks}


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ([], "w9"),
        ([["yellow"], ["yellow", "car"]], "w1"),
        ([["yellow"], [], ["yellow"]], "w3"),
        ([["yellow"], ["car"]], "w9"),
    ],
)
def test_since_goes_back_over_an_unbroken_row(before: list[list[str]], first: str) -> None:
    verdicts = [verdict(i + 1, *names) for i, names in enumerate(before)]
    assert since({"kind": "concept", "name": "yellow"}, verdicts, "w9") == first


def row(**changes: Any) -> dict[str, Any]:
    plain = {
        "kind": "concept", "name": "yellow", "text": "yellow", "value": 0.42, "low": 0.31,
        "high": 0.53, "limit": 0.2, "state": "crossed", "direction": "up", "explained_by": [],
        "baseline": 0.01,
    }  # fmt: skip
    return plain | changes


def test_the_sentence_is_plain() -> None:
    follows = [{"kind": "concept"}] * 3
    base = {"baseline": {}, "state": "crossed", "follows": follows, "measure": "similarity"}
    assert sentence(base | {"thresholds": [row()]}) == (
        "yellow grew (d = +0.42, 95 % +0.31 to +0.53), above its limit of 0.2; 3 other concepts "
        "changed only because of it"
    )
    rejects = row(kind="rejects", text="rejects", value=0.123, limit=0.1)
    car = row(text="car", direction="down", value=-0.9, low=-1.0, high=-0.8)
    told = sentence(base | {"follows": [], "thresholds": [rejects, row(), car]})
    assert told == (
        "car shrank (d = −0.90, 95 % −1.00 to −0.80), above its limit of 0.2; yellow grew "
        "(d = +0.42, 95 % +0.31 to +0.53), above its limit of 0.2; 12.3 % of the samples could not "
        "be used (baseline 1.0 %), above the limit of 10.0 %"
    )
    cause = row(name="a_red_car", text="a red car")
    follows = row(name="head", text="head", kind="pairs", explained_by=["a_red_car"])
    assert "head grew because of a red car (" in sentence(base | {"thresholds": [cause, follows]})
    near = row(state="changed", value=0.15)
    assert "the nearest is yellow" in sentence(base | {"thresholds": [near], "follows": []})


def test_the_trend_is_made_from_the_verdicts_alone() -> None:
    def one(number: int, value: float) -> dict[str, Any]:
        once = {"state": "crossed", "images": 9, "rejects": 0.0, "auc": 0.5}
        return {"name": f"w{number}", "number": number, "thresholds": [row(value=value)]} | once

    trend = trend_of([one(1, 0.3), one(2, 0.5)])
    assert trend["effect"].tolist() == [0.3, 0.5] and trend["alarm"].all()
    assert trend_of([one(1, 0.4), one(2, 0.5)])["effect"].tolist() == [0.4, 0.5]
    assert trend_bytes(trend) == trend_bytes(trend_of([one(1, 0.3), one(2, 0.5)]))
    assert isinstance(trend, pd.DataFrame)


def test_a_series_spends_no_more_than_it_promised(tmp_path: Path) -> None:
    for plan in ("even", "forever"):
        schedule = Schedule(audits=40, false_alarms=0.05, spending=plan)  # type: ignore[arg-type]
        given = Settings("t", "o", "i", baseline=Baseline("r"), schedule=schedule)
        every = [alarms_of(given, number) for number in range(1, 41)]
        spent = sum(alarms.each * len(alarms.kinds) for alarms in every)
        assert spent <= 0.05 * (1 + 1e-12)
    with pytest.raises(UsageError, match="this is audit 41 of a series planned for 40"):
        alarms_of(Settings("t", "o", "i", schedule=Schedule(audits=40)), 41)

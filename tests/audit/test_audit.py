"""Real audits of scenes: what changed is told, and only what changed is done again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from pipelines.audit.plan import plan_of
from pipelines.io.store import Run
from pipelines.run import lock
from tests.audit.series import (
    IMAGES,
    PER_SHARD,
    audit,
    configure,
    snapshot,
    verdict,
    write_weeks,
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weeks(tmp_path_factory.mktemp("weeks"))


@pytest.fixture(scope="module")
def series(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a series whose three audits were done, with a lens of its own."""
    told = tmp_path_factory.mktemp("series")
    command = ["sh", "-c", 'cat > "$1/told.json"; echo x >> "$1/calls"', "sh", str(told)]
    notify = {"command": command}
    file = configure(told, shards, lens={"calibrate": {"candidates": 10}}, notify=notify)
    codes = {week: audit(file, week).returncode for week in ("w1", "w2", "w3")}
    assert codes == {"w1": 0, "w2": 0, "w3": 1}
    return file


def test_a_planted_colour_is_named_as_the_cause_and_in_the_trend(series: Path) -> None:
    found = verdict(series, "w3")
    causes = {(cause["kind"], cause["name"]) for cause in found["causes"]}
    assert causes == {("concept", "yellow"), ("label", "yellow")}
    assert found["measure"] == "grounded"
    assert "yellow grew (d = +" in found["sentence"] and found["images"] == IMAGES
    cause = next(cause for cause in found["causes"] if cause["kind"] == "concept")
    assert cause["low"] < cause["effect"] < cause["high"] and cause["since"] == "w3"
    assert cause["effect"] >= cause["limit"] == 0.4
    trend = pd.read_parquet(series.parent / "series" / "trend.parquet")
    assert list(trend["name"].unique()) == ["w1", "w2", "w3"]
    assert trend.loc[trend["alarm"], ["name", "concept"]].to_numpy().tolist() == [["w3", "yellow"]]
    row = trend[(trend["name"] == "w3") & (trend["concept"] == "yellow")].iloc[0]
    assert row["effect"] == cause["effect"] and row["auc"] == found["auc"]


def test_the_pages_say_what_the_verdict_says(series: Path) -> None:
    folder = series.parent / "series"
    text = (folder / "audits" / "w3" / "index.html").read_text()
    assert "Yellow grew" in text and 'class="state crossed"' in text and 'id="concepts"' in text
    every = (folder / "index.html").read_text()
    assert "1 of 3 audits crossed a limit" in every


def test_a_report_without_its_model_is_made_again(series: Path) -> None:
    """As one is that an older version made; its numbers stay."""
    folder, before = series.parent / "series" / "audits" / "w3", verdict(series, "w3")
    model = (folder / "report" / "page.json").read_bytes()
    (folder / "report" / "page.json").unlink()
    assert "compare: the report lacks page.json" in audit(series, "w3", "--dry-run").stdout
    assert audit(series, "w3").returncode == 1
    assert (folder / "report" / "page.json").read_bytes() == model
    assert verdict(series, "w3") == before


def test_an_earlier_audit_links_to_the_next_and_knows_nothing_else_of_it(series: Path) -> None:
    folder = series.parent / "series" / "audits"
    text = (folder / "w2" / "index.html").read_text()
    assert 'href="../w3/index.html"' in text and text.count("w3") == 2


def test_a_damaged_lens_is_named(series: Path) -> None:
    place = series.parent / "series" / "lens" / "lens.json"
    text = place.read_text()
    try:
        for damage in ("{", "[]", '{"id": 1}'):
            place.write_text(damage)
            found = audit(series, "w3")
            assert found.returncode == 2 and "lens.json" in found.stderr
            assert "is damaged" in found.stderr
    finally:
        place.write_text(text)


def test_the_hook_receives_exactly_the_verdict(series: Path) -> None:
    written = (series.parent / "series" / "audits" / "w3" / "verdict.json").read_bytes()
    assert (series.parent / "told.json").read_bytes() == written
    assert (series.parent / "calls").read_text() == "x\n" * 3


def test_a_finished_audit_ends_as_before_and_writes_nothing(series: Path) -> None:
    before = snapshot(series.parent)
    again = audit(series, "w3")
    assert again.returncode == 1 and "yellow grew" in again.stderr
    assert audit(series, "w1").returncode == 0
    assert snapshot(series.parent) == before


def test_a_dry_run_says_what_is_done_and_writes_nothing(series: Path, shards: Path) -> None:
    before = snapshot(series.parent)
    done = audit(series, "w3", "--dry-run").stdout
    assert "[to do]" not in done and "verdict: crossed" in done and "nothing is left" in done
    (shards / "w4").mkdir(exist_ok=True)
    (shards / "w4" / "one.tar").write_bytes(next((shards / "w2").glob("*0.tar")).read_bytes())
    new = audit(series, "w4", "--dry-run").stdout
    assert f"audit 4 of the series {series.parent}/series: w4" in new
    assert "[done]  calibrate the lens" in new and "[done]  extract the baseline" in new
    assert "[to do] extract the input: 1 of 1 shards are not done" in new
    assert "[to do] compare: after: extract the input" in new
    assert "MB, 0 done), about 7" in new, new  # 75 images, told by the size of the shard
    assert "images/s, as last time" in new and "this audit may take 0.005" in new
    assert "found four times in five" in new
    assert snapshot(series.parent) == before


def test_a_changed_threshold_changes_the_verdict_and_nothing_else(
    series: Path, shards: Path
) -> None:
    text = series.read_text()
    before = snapshot(series.parent / "series")
    try:
        off = {"concepts": {"default": 3}, "labels": {"default": 3}, "auc": 0.99}
        changed = configure(
            series.parent, shards, lens={"calibrate": {"candidates": 10}}, thresholds=off,
            notify={"command": ["true"]},
        )  # fmt: skip
        assert audit(changed, "w3").returncode == 0
        found = verdict(series, "w3")
        assert found["state"] == "passed" and not found["causes"]
        assert "the nearest is yellow, which grew" in found["sentence"]
        trend = pd.read_parquet(series.parent / "series" / "trend.parquet")
        assert not trend["alarm"].any()
        after = snapshot(series.parent / "series")
        rewritten = {path for path in before if after[path] != before[path]}
        names = {str(Path(path).relative_to(series.parent / "series")) for path in rewritten}
        own = ("audit.json", "verdict.json", "index.html", "done/page.json", "hook.json")
        of_series = {"index.html", "trend.parquet", "done/pages.json"}
        assert names == of_series | {f"audits/w3/{name}" for name in own}
    finally:
        series.write_text(text)
        assert audit(series, "w3").returncode == 1


def test_a_cause_is_dated_from_its_first_audit_in_a_row(series: Path, shards: Path) -> None:
    if not (shards / "w5").exists():
        (shards / "w5").symlink_to(shards / "w3")
    assert audit(series, "w5").returncode == 1
    assert {cause["since"] for cause in verdict(series, "w5")["causes"]} == {"w3"}


def test_a_reference_that_grows_after_the_lens_is_refused_untouched(
    series: Path, shards: Path
) -> None:
    before = snapshot(series.parent)
    late = shards / "reference" / "late.tar"
    try:
        late.write_bytes(next((shards / "w2").glob("*0.tar")).read_bytes())
        found = audit(series, "w3")
        assert found.returncode == 2 and "1 shards came to" in found.stderr
        assert snapshot(series.parent) == before
    finally:
        late.unlink(missing_ok=True)
    assert audit(series, "w3").returncode == 1


def test_two_audits_of_a_series_exclude_each_other(shards: Path, tmp_path: Path) -> None:
    file = configure(tmp_path, shards)
    with lock.held(Run(str(tmp_path / "series")), print):
        found = audit(file, "w1")
    assert found.returncode == 4 and "is being written by process" in found.stderr
    assert not (tmp_path / "series" / "series.json").exists()


def test_an_input_that_is_not_there_takes_no_number(shards: Path, tmp_path: Path) -> None:
    file = configure(tmp_path, shards)
    for more in ((), ("--dry-run",)):
        found = audit(file, "w9", *more)
        assert found.returncode == 2 and "no shard matches" in found.stderr
    assert not (tmp_path / "series").exists()


@pytest.fixture(scope="module")
def previous(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series without a reference, of two audits."""
    folder = tmp_path_factory.mktemp("previous")
    file = configure(folder, shards, baseline={"previous": True})
    for week in ("w1", "w2"):
        found = audit(file, week)
        assert found.returncode == 0, found.stderr
    return file


def test_the_first_audit_without_a_baseline_passes_and_says_so(previous: Path) -> None:
    found = verdict(previous, "w1")
    assert found["state"] == "passed" and found["baseline"] is None
    assert "first audit of the series" in found["sentence"]
    assert verdict(previous, "w2")["baseline"]["name"] == "w1"
    trend = pd.read_parquet(previous.parent / "series" / "trend.parquet")
    assert trend["concept"].isna().sum() == 1 and len(trend) == 7


def test_the_baseline_is_the_latest_audit_that_passed(previous: Path, shards: Path) -> None:
    from jobs.audit.read import read_settings

    place = previous.parent / "series" / "audits" / "w2" / "verdict.json"
    text = place.read_text()
    settings = read_settings(str(previous), "w3")
    assert plan_of(settings).opposite.name == "w2"  # type: ignore[union-attr]
    place.write_text(json.dumps(json.loads(text) | {"state": "crossed"}))
    assert plan_of(settings).opposite.name == "w1"  # type: ignore[union-attr]
    place.unlink()
    assert plan_of(settings).opposite.name == "w1"  # type: ignore[union-attr]
    place.write_text(text)


def test_an_audit_that_was_killed_goes_on_and_comes_to_the_same(
    previous: Path, shards: Path, tmp_path: Path
) -> None:
    """Killed when some shards are committed, the second audit of a series."""
    file = configure(tmp_path, shards, baseline={"previous": True})
    shutil.copytree(previous.parent / "series", tmp_path / "series")
    shutil.rmtree(tmp_path / "series" / "audits" / "w2")
    command = [sys.executable, "-m", "jobs.cli", "audit", "--config", str(file), "--name", "w2"]
    committed = tmp_path / "series" / "audits" / "w2" / "run" / "shards"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(committed.glob("*.json")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "series" / "audits" / "w2" / "verdict.json").exists()
    assert audit(file, "w2").returncode == 0
    mine = json.dumps(verdict(file, "w2")).replace(str(tmp_path), "")
    theirs = json.dumps(verdict(previous, "w2")).replace(str(previous.parent), "")
    ours, other = json.loads(mine), json.loads(theirs)
    assert {**ours, "config_sha256": ""} == {**other, "config_sha256": ""}


def test_failed_shards_leave_no_verdict_unless_some_may_fail(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed" / "w1"
    folder.mkdir(parents=True)
    for shard in (shards / "w1").glob("*.tar"):
        (folder / shard.name).write_bytes(shard.read_bytes())
    (folder / "bad.tar").write_bytes(b"this is no tar at all" * 100)
    changes = {"input": f"{tmp_path}/mixed/{{name}}/*.tar", "baseline": {"previous": True}}
    file = configure(tmp_path, shards, **changes)
    found = audit(file, "w1")
    assert found.returncode == 3 and "1 of 3 shards failed" in found.stderr
    assert not (tmp_path / "series" / "audits" / "w1" / "verdict.json").exists()
    file = configure(tmp_path, shards, **changes, allow_failed_shards=0.4)
    assert audit(file, "w1").returncode == 0
    failed = verdict(file, "w1")["failed_shards"]
    assert [entry["url"] for entry in failed] == [str(folder / "bad.tar")]
    (folder / "bad.tar").write_bytes(next((shards / "w2").glob("*0.tar")).read_bytes())
    assert audit(file, "w1").returncode == 0
    found = verdict(file, "w1")
    assert found["failed_shards"] == [] and found["images"] == IMAGES + PER_SHARD
    (folder / "bad.tar").write_bytes(next((shards / "w3").glob("*0.tar")).read_bytes())
    changed = audit(file, "w1")
    assert changed.returncode == 3 and "changed since: shards" in changed.stdout
    assert "--redo-changed" in changed.stderr
    assert audit(file, "w1", "--redo-changed").returncode == 0
    assert verdict(file, "w1")["images"] == IMAGES + PER_SHARD


def test_another_configuration_of_a_finished_audit_is_refused(previous: Path, shards: Path) -> None:
    before, text = verdict(previous, "w2"), previous.read_text()
    try:
        changed = configure(
            previous.parent, shards, baseline={"previous": True}, concepts=["yellow", "car"]
        )
        found = audit(changed, "w2")
        assert found.returncode == 2 and "was made with another configuration" in found.stderr
        assert verdict(previous, "w2") == before
    finally:
        previous.write_text(text)


def test_shards_that_are_no_longer_asked_for_are_refused(previous: Path, shards: Path) -> None:
    text = previous.read_text()
    try:
        changed = configure(
            previous.parent, shards, baseline={"previous": True}, input=f"{shards}/w1/*1.tar"
        )
        found = audit(changed, "w1")
        assert found.returncode == 2 and "holds 1 shards that are not in" in found.stderr
    finally:
        previous.write_text(text)


def test_a_series_may_lie_in_an_object_store(shards: Path, tmp_path: Path) -> None:
    file = configure(tmp_path, shards, baseline={"previous": True}, out="memory://weeks/series")
    assert audit(file, "w1").returncode == 0
    series = Run("memory://weeks/series")
    assert json.loads(series.read("audits", "w1", "verdict.json"))["images"] == IMAGES
    assert series.exists("index.html") and not series.exists("lock.json")
    again = audit(file, "w1")
    assert again.returncode == 0 and "to go on" not in again.stderr
    assert not list(tmp_path.glob("series"))

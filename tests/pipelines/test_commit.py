"""The commit protocol: one record commits a group; what an interruption leaves is mended."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.bench.difference import Difference, difference
from pipelines.errors import Incomplete, Locked, UsageError
from pipelines.extract import job
from pipelines.extract.job import extract
from pipelines.extract.settings import Group
from pipelines.extract.worker import Extractor
from pipelines.io import commit
from pipelines.io.consistency import checked
from pipelines.io.listing import expand
from pipelines.io.shards import shard_id
from pipelines.io.store import Run
from pipelines.run import lock
from pipelines.run.status import lines, status
from tests.conftest import groups_of_at_most, plan


def agree(expected: str | Path, found: str | Path) -> None:
    seen = difference(Run(str(expected)), Run(str(found)))
    assert seen.moments <= 1e-9
    assert seen == Difference(0, 0, 0, 0, 0, seen.moments, 0)


@pytest.fixture(scope="module")
def grouped(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose three shards were committed as one group."""
    out = tmp_path_factory.mktemp("grouped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.extract.work.Groups", groups_of_at_most(3))
        extract(plan(scenes, out))
    return out


@pytest.fixture
def run(grouped: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(grouped, tmp_path / "run"))


def times(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}


def test_the_first_record_commits_the_group(run: Path, grouped: Path, scenes: str) -> None:
    before = times(run)
    for record in sorted((run / "shards").iterdir())[1:]:
        record.unlink()
    extract(plan(scenes, run))
    agree(grouped, run)
    assert times(run) == before, "nothing was extracted again"


def test_without_a_record_nothing_is_committed(run: Path, grouped: Path, scenes: str) -> None:
    before = times(run)
    for record in (run / "shards").iterdir():
        record.unlink()
    extract(plan(scenes, run))
    agree(grouped, run)
    assert set(times(run).values()).isdisjoint(before.values())


def test_records_without_their_moments_are_taken_back(
    run: Path, grouped: Path, scenes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    next((run / "moments").iterdir()).unlink()
    extract(plan(scenes, run))
    assert "does not match its 3 records" in capsys.readouterr().out
    agree(grouped, run)


def test_a_shard_committed_twice_is_counted_once(
    run: Path, grouped: Path, scenes: str, tmp_path: Path
) -> None:
    """As by a driver that lost its lock and woke up: the whole group gives way."""
    extract(plan(scenes, tmp_path / "single"))
    record = sorted((tmp_path / "single" / "shards").iterdir())[1]
    moments = json.loads(record.read_text())["moments"]
    shutil.copy(record, run / "shards")
    shutil.copy(tmp_path / "single" / moments, run / "moments")
    extract(plan(scenes, run))
    agree(grouped, run)


def test_leftovers_are_removed(run: Path, grouped: Path, scenes: str) -> None:
    for name in ("images/a.parquet", "rejects/a.parquet", "moments/a.safetensors"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"uncommitted")
    (run / "shards" / "a.json.partial-1-ff").write_bytes(b"{")
    extract(plan(scenes, run))
    agree(grouped, run)
    left = {path.name for path in run.rglob("*")}
    assert not {name for name in left if name.startswith("a.")}


def test_readers_refuse_a_group_that_is_half_committed(run: Path) -> None:
    from pipelines.errors import UsageError

    next((run / "shards").iterdir()).unlink()
    with pytest.raises(UsageError, match="disagree; wait for the run to end, or run nhd extract"):
        Run(str(run)).moments()


@pytest.mark.parametrize("left", [0, 1, 2])
def test_what_an_interrupted_run_left_is_no_damage(run: Path, scenes: str, left: int) -> None:
    """With no record of a group, with some; what does not belong to it is damage nonetheless."""
    for record in sorted((run / "shards").iterdir())[left:]:
        record.unlink()
    (run / "images" / "a.parquet.partial-1-ff").write_bytes(b"PAR1")
    found = status(str(run), check=True)
    assert found["problems"] == [] and not found["complete"]
    assert "images/a.parquet.partial-1-ff" in found["unfinished"]
    assert len(found["unfinished"]) == 1 + (3 - left) + 1
    assert f"besides, {5 - left} files of shards that are not committed" in lines(found)[-2]
    (run / "images" / "stray.parquet").write_bytes(b"PAR1")
    assert len(status(str(run), check=True)["problems"]) == 1
    extract(plan(scenes, run))
    whole = status(str(run), check=True)
    assert whole["problems"] == whole["unfinished"] == []


@pytest.mark.parametrize("what", ["rows", "moments", "record"])
def test_check_finds_what_was_changed_behind_our_back(run: Path, what: str) -> None:
    assert not checked(Run(str(run))).problems
    if what == "rows":
        first, second = sorted((run / "images").iterdir())[:2]
        shutil.copy(first, second)
    elif what == "moments":
        fewer = Run(str(run)).records()[:2]
        name = fewer[0]["moments"]
        header = Run(str(run)).header(name)
        Run(str(run)).write_moments(name, Run(str(run)).moments(), header)
        (run / "shards" / f"{fewer[0]['shard']}.json").unlink()
    else:
        path = next((run / "shards").iterdir())
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"written": record["written"] - 1}))
    assert checked(Run(str(run))).problems


def test_changed_shards_are_listed_and_done_again_on_demand(
    scenes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the group they were committed with; only what changed differs from before."""
    folder = tmp_path / "data"
    folder.mkdir()
    urls = [shutil.copy(url, folder) for url in expand(scenes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.extract.work.Groups", groups_of_at_most(2))
        extract(plan(f"{folder}/*.tar", tmp_path / "run"))
    shutil.copy(urls[2], urls[0])
    with pytest.raises(Incomplete, match=f"1 committed shards have changed since, first {urls[0]}"):
        extract(plan(f"{folder}/*.tar", tmp_path / "run"))
    extract(plan(f"{folder}/*.tar", tmp_path / "run", redo_changed=True))
    assert "1 shards have changed and are done again" in capsys.readouterr().out
    extract(plan(f"{folder}/*.tar", tmp_path / "anew"))
    agree(tmp_path / "anew", tmp_path / "run")
    extract(plan(f"{folder}/*.tar", tmp_path / "run"))  # and now all is well


def test_a_shard_that_left_the_input_stays_committed(scenes: str, tmp_path: Path) -> None:
    urls = [shutil.copy(url, tmp_path) for url in expand(scenes)]
    extract(plan(",".join(urls), tmp_path / "run"))
    Path(urls[0]).unlink()
    assert extract(plan(",".join(urls), tmp_path / "run"))["written"] == 90


@pytest.mark.parametrize("folder", ["images", "moments"])
def test_files_that_went_missing_are_named_and_done_again(
    run: Path, grouped: Path, scenes: str, folder: str
) -> None:
    next((run / folder).iterdir()).unlink()
    (run / "images" / "stray.parquet").write_bytes(b"no Parquet")
    problems = "; ".join(checked(Run(str(run))).problems)
    assert "a file cannot be read" in problems
    assert "images/stray.parquet: no commit record speaks for it" in problems
    with pytest.raises(Incomplete, match="shards that were asked for before are not done"):
        extract(plan(expand(scenes)[0], run))
    extract(plan(scenes, run))
    agree(grouped, run)


def test_a_changed_shard_is_not_redone_without_those_it_was_committed_with(
    scenes: str, tmp_path: Path
) -> None:
    urls = [shutil.copy(url, tmp_path) for url in expand(scenes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.extract.work.Groups", groups_of_at_most(3))
        extract(plan(",".join(urls), tmp_path / "run"))
    shutil.copy(urls[2], urls[0])
    with pytest.raises(UsageError, match="2 shards that were committed with changed ones"):
        extract(plan(urls[0], tmp_path / "run", redo_changed=True))
    assert Run(str(tmp_path / "run")).images(["key"]).num_rows == 90


def test_two_shards_of_one_id_are_refused(
    scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one command, and in two."""
    urls = expand(scenes)
    monkeypatch.setattr("pipelines.io.shards.shard_id", lambda url: "same")
    with pytest.raises(UsageError, match="have the same id same; rename one"):
        extract(plan(scenes, tmp_path / "run"))
    extract(plan(urls[2], tmp_path / "run"))
    with pytest.raises(UsageError, match=r"has the id of .*, which is committed"):
        extract(plan(urls[1], tmp_path / "run"))


def test_a_worker_whose_driver_is_gone_writes_nothing(scenes: str, tmp_path: Path) -> None:
    """It lives on for a while; what it works on may be committed by another run meanwhile."""
    out = tmp_path / "run"
    extract(plan(scenes, out))
    before = times(out)
    (shard,) = expand(scenes)[:1]
    group = Group(((shard_id(shard), shard),))
    settings = job._settings(plan(scenes, out), [shard])
    with lock.held(Run(str(out)), print) as other:
        ours = other.token
        Extractor(replace(settings, holder=ours)).work(group)
        assert times(out) != before, "the holder's own worker writes"
        before = times(out)
        with pytest.raises(Locked, match="no longer holds"):
            Extractor(replace(settings, holder=("gone", *ours[1:]))).work(group)
    with pytest.raises(Locked, match="no longer holds"):
        Extractor(replace(settings, holder=ours)).work(group)
    assert times(out) == before


def test_no_record_is_written_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first commits the group, the others may be in any order."""
    written: list[str] = []
    monkeypatch.setattr(commit, "write_json", lambda url, record: written.append(record["shard"]))
    names = [f"{i:02d}" for i in range(40)]
    commit.commit(Run("anywhere"), ({"shard": name} for name in names))
    assert written[0] == "00"
    assert sorted(written) == names
    commit.commit(Run("anywhere"), [])


def test_where_the_first_record_fails_no_other_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, record: object) -> None:
        written.append(url)
        raise OSError("full")

    written: list[str] = []
    monkeypatch.setattr(commit, "write_json", refuse)
    with pytest.raises(OSError, match="full"):
        commit.commit(Run("anywhere"), [{"shard": "a"}, {"shard": "b"}])
    assert len(written) == 1

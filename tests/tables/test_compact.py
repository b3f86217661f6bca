"""Compaction: nothing lost or repeated, sorted as promised, whatever was stopped or changed."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import Incomplete, Locked, UsageError
from pipelines.extract.job import extract
from pipelines.io.listing import expand
from pipelines.io.store import Run
from pipelines.run import lock
from pipelines.run.status import lines, status
from pipelines.tables import firings, groups, manifest
from pipelines.tables.compact import CompactPlan, compact
from pipelines.tables.database import connect
from pipelines.tables.manifest import File, Group, Made
from tests import s3_server
from tests.conftest import plan
from tests.s3_server import Server

s3_process, s3 = s3_server.s3_process, s3_server.s3


@pytest.fixture
def run(dense_run: str, tmp_path: Path) -> Run:
    """A copy of a run of 90 images in three shards, to be changed."""
    shutil.copytree(dense_run, tmp_path / "run")
    return Run(str(tmp_path / "run"))


def made(run: Run, images: int = 45) -> dict[str, Any]:
    """Compact in process; 45 images a file make three groups of the three shards."""
    return compact(CompactPlan(run.url, images=images, in_process=True))


def files(run: Run, kind: str = "") -> list[str]:
    return [name for name in run.names("tables", ".parquet") if name.startswith(kind)]


def stamps(run: Run) -> dict[str, int]:
    return {n: Path(run.at("tables", n)).stat().st_mtime_ns for n in files(run)}


def literal(images: pa.Table) -> list[tuple[int, float, str, str]]:
    """Every kept pair of every image, one by one."""
    return [
        (pair, value, row["shard"], row["key"])
        for row in images.select(["shard", "key", "pairs", "coefficients"]).to_pylist()
        for pair, value in zip(row["pairs"], row["coefficients"], strict=True)
    ]


def check_all(run: Run) -> None:
    """What is asked of the run is what its committed rows say."""
    images = run.images()
    connection = connect(run.url)
    keys = connection.execute("SELECT shard, key FROM images").fetchall()
    wanted = zip(images["shard"].to_pylist(), images["key"].to_pylist(), strict=True)
    assert Counter(keys) == Counter(wanted)
    fired = connection.execute("SELECT pair, coefficient, shard, key FROM firings").fetchall()
    assert Counter(fired) == Counter(literal(images))
    connection.close()


def test_nothing_is_lost_repeated_or_changed(run: Run) -> None:
    found = made(run)
    images = run.images()
    assert found["groups"] == 3 and found["images"] == len(images) == 90
    assert found["firings"] == sum(map(len, images["pairs"].to_pylist())) == 90 * 256
    tables = [pq.read_table(run.at("tables", name)) for name in files(run, "images")]
    together = pa.concat_tables(tables).replace_schema_metadata(None)
    order = [("shard", "ascending"), ("key", "ascending")]
    assert together.sort_by(order).equals(images.sort_by(order))
    check_all(run)


def test_firings_are_sorted_and_the_files_say_what_they_come_from(run: Run) -> None:
    made(run)
    source = pq.read_schema(run.at("images", f"{run.records()[0]['shard']}.parquet"))
    for name in files(run):
        assert pq.read_schema(run.at("tables", name)).metadata == source.metadata
    for name in files(run, "firings"):
        table = pd.read_parquet(run.at("tables", name))
        strength = table["coefficient"].abs()
        assert table["pair"].is_monotonic_increasing
        assert strength.groupby(table["pair"]).apply(lambda c: c.is_monotonic_decreasing).all()
        again = pl.read_parquet(run.at("tables", name)).to_pandas()
        assert again.equals(table)
        row_group = pq.ParquetFile(run.at("tables", name)).metadata.row_group(0)
        assert row_group.column(0).statistics.min == table["pair"].min()
        assert "DELTA_BINARY_PACKED" in row_group.column(0).encodings
        assert "BYTE_STREAM_SPLIT" in row_group.column(1).encodings


@settings(max_examples=30)
@given(st.data(), st.integers(1, 4))
def test_firings_of_any_rows_agree_with_a_plain_sort(data: Any, ranges: int) -> None:
    each = st.lists(st.tuples(st.integers(0, 9), st.floats(-4, 4, width=16)), max_size=6)
    rows = data.draw(st.lists(each, min_size=1, max_size=8))
    table = pa.table(
        {
            "shard": pa.array(["a"] * len(rows)),
            "key": pa.array([str(i) for i in range(len(rows))]),
            "pairs": pa.array([[p for p, _ in row] for row in rows], pa.list_(pa.int32())),
            "coefficients": pa.array([[c for _, c in row] for row in rows], pa.list_(pa.float32())),
        }
    )
    found = firings.Firings()
    found.add(table.slice(0, len(rows) // 2))
    found.add(table.slice(len(rows) // 2))
    wanted = sorted(literal(table), key=lambda row: (row[0], -abs(row[1])))  # a stable sort
    with mock.patch.object(firings, "RANGE", ranges), mock.patch.object(firings, "ROW_GROUP", 3):
        assert found.write(sink := _scratch(), None) == found.count == len(wanted)
    assert [tuple(row.values()) for row in pq.read_table(sink).to_pylist()] == wanted


def _scratch() -> str:
    import tempfile

    return f"{tempfile.mkdtemp()}/firings.parquet"


def test_a_second_time_nothing_is_done(run: Run) -> None:
    made(run)
    before = stamps(run)
    assert made(run)["made"] == 0 and stamps(run) == before


def test_a_stopped_compaction_goes_on_and_readers_see_every_row_once(run: Run) -> None:
    def dies_at_the_third(self: Any, path: str, metadata: Any) -> int:
        if files(run, "firings")[1:]:
            raise KeyboardInterrupt
        return write(self, path, metadata)

    write = firings.Firings.write
    with (
        mock.patch.object(firings.Firings, "write", dies_at_the_third),
        mock.patch("pipelines.tables.compact.pool_of", _direct),
        pytest.raises(KeyboardInterrupt),
    ):
        made(run)
    assert len(manifest.read(run)) == 2 and len(files(run)) == 5, "one file nobody speaks of"
    check_all(run)
    before = stamps(run)
    assert made(run)["made"] == 1
    kept = [
        path.path.removeprefix("tables/")
        for g in manifest.read(run)[:2]
        for path in (g.images, g.firings)
    ]
    assert all(stamps(run)[name] == before[name] for name in kept)
    check_all(run)


def _direct(build: Any, *_: Any) -> Any:
    """A pool whose worker dies with the process, as by a signal."""
    import contextlib

    from pipelines.run.in_process import InProcess
    from pipelines.run.runner import Outcome

    class Here(InProcess):
        def submit(self, item: Any) -> None:
            self.item = item
            self.outbox.put(Outcome(item, build().work(item)))

    return contextlib.nullcontext(Here(build))


def test_added_shards_are_taken_up_and_small_groups_with_them(scenes: str, tmp_path: Path) -> None:
    run = Run(str(tmp_path / "run"))
    urls = expand(scenes)
    extract(plan(urls[2], run.url))
    made(run, images=60)
    small = files(run)
    extract(plan(",".join(urls[1:]), run.url))
    check_all(run)  # one shard by the table, one raw
    assert "tables hold 1 of 2 shards; nhd compact brings" in "\n".join(lines(status(run.url)))
    assert made(run, images=60)["images"] == 50
    assert not set(small) & set(files(run)), "ten images were made again with what was new"
    assert len(files(run)) == 2 * len(manifest.read(run))
    check_all(run)


def test_a_shard_that_is_done_again_makes_its_group_stale(run: Run) -> None:
    made(run)
    changed = run.records()[0]
    changed["files"]["images"]["sha256"] = "0" * 64  # as if its rows were others
    Path(run.at("shards", f"{changed['shard']}.json")).write_text(json.dumps(changed))
    cover = manifest.cover(run, run.records())
    assert [r["shard"] for r in cover.raw] == [changed["shard"]] and len(cover.stale) == 1
    assert "of 3 shards (1 stale); nhd compact brings" in "\n".join(lines(status(run.url)))
    check_all(run)
    with pytest.raises(Incomplete, match="not what its commit record says"):
        made(run)
    assert len(manifest.read(run)) == 2, "the other two are there"


def test_extraction_and_its_recovery_leave_tables_alone(run: Run, scenes: str) -> None:
    made(run)
    before = stamps(run)
    extract(plan(scenes, run.url, keep="dense", bucket="source"))
    assert stamps(run) == before
    assert status(run.url, check=True)["problems"] == []


def test_a_damaged_or_lost_table_is_noticed_and_made_again(run: Run) -> None:
    made(run)
    one, other = files(run)[:2]
    data = Path(run.at("tables", one)).read_bytes()
    Path(run.at("tables", one)).write_bytes(data[:-1] + b"?")
    Path(run.at("tables", other)).unlink()
    problems = status(run.url, check=True)["problems"]
    assert len(problems) == 2 and all("nhd compact" in problem for problem in problems)
    Path(run.at("tables", one)).unlink()
    assert made(run)["made"] == 2
    assert status(run.url, check=True)["problems"] == []
    check_all(run)


def test_refusals(run: Run, tmp_path: Path) -> None:
    with lock.held(run, print), pytest.raises(Locked, match="is being written by process"):
        made(run)
    assert not files(run)
    with pytest.raises(UsageError, match="is not a run folder"):
        made(Run(str(tmp_path)))


@given(st.lists(st.integers(0, 120), max_size=30), st.integers(1, 100))
def test_groups_hold_every_shard_once_within_bounds(sizes: list[int], images: int) -> None:
    records = [_record(f"{i:03d}", size) for i, size in enumerate(sizes)]
    found = groups.plan(manifest.Cover([], records, []), records, images).wanted
    shards = [shard for group in found for shard in group.shards]
    assert shards == [r["shard"] for r in records if r["written"]]
    for group in found:
        assert len(group.shards) == 1 or sum(sizes[int(s)] for s in group.shards) <= images


def test_growth_by_single_shards_keeps_files_few() -> None:
    records: list[dict[str, Any]] = []
    kept: list[Made] = []
    copied = 0
    for i in range(200):
        records.append(_record(f"{i:03d}", 10))
        found = groups.plan(manifest.Cover(kept, [], []), records, 100)
        new = [Made(g, _file(10 * len(g.shards)), _file(0)) for g in found.wanted]
        copied += sum(m.images.rows for m in new)
        kept = [*found.kept, *new]
    assert len(kept) <= 2 * 200 * 10 / 100 and copied <= 5 * 200 * 10


def _record(shard: str, rows: int) -> dict[str, Any]:
    return {"shard": shard, "written": rows, "files": {"images": {"bytes": rows, "sha256": shard}}}


def _file(rows: int) -> File:
    return File("", rows, 0, "")


def test_a_group_is_named_by_what_it_holds() -> None:
    assert Group({"a": "1"}).name != Group({"a": "2"}).name
    assert Group({"a": "1", "b": "2"}).name == Group({"b": "2", "a": "1"}).name


def as_on_a_disk(run: Run, there: Run) -> None:
    """Compacted at another place, the run has the same files and gives the same answers."""
    fs, path = fsspec.core.url_to_fs(there.url)
    fs.put(run.url + "/", path + "/", recursive=True)
    made(there)
    made(run)
    assert files(there) == files(run)
    for name in files(run):
        assert there.read("tables", name) == run.read("tables", name)
    check_all(there)
    shards = [connect(each.url).execute("FROM shards").fetchall() for each in (run, there)]
    assert shards[0] == shards[1]
    both = connect(there.url, baseline=there.url).execute("SELECT count(*) FROM baseline.images")
    assert both.fetchall() == [(90,)]


def test_in_memory_as_on_a_disk(run: Run) -> None:
    as_on_a_disk(run, Run("memory://tables-test/run"))


@pytest.mark.slow
def test_on_s3_as_on_a_disk(run: Run, s3: Server) -> None:
    as_on_a_disk(run, Run(f"{s3.bucket()}/run"))

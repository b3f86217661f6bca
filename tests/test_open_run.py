"""What `open_run` reads is what the run folder holds; cards show data as data; refusals say why."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.analyse.fit import FitPlan, fit
from pipelines.errors import Incomplete, UsageError
from pipelines.io.files import write_parquet
from pipelines.io.store import Run
from pipelines.store import OpenRun, open_run
from pipelines.tables.compact import CompactPlan, compact
from pipelines.terminal.aligned import width

EVIL = "<script>alert(1)</script>&\"'"


@pytest.fixture(scope="module")
def run(dense_run: str, tmp_path_factory: pytest.TempPathFactory) -> OpenRun:
    """A small fitted run of real parts."""
    folder = tmp_path_factory.mktemp("open") / "run"
    shutil.copytree(dense_run, folder)
    fit(FitPlan(str(folder), words="scenes", atoms=4, in_process=True))
    return open_run(folder)


def rows_of(run: OpenRun) -> pd.DataFrame:
    """All rows of the folder, read by pandas alone."""
    parts = sorted(Path(run.url, "images").iterdir())
    return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)


def test_the_tables_are_those_of_the_folder(run: OpenRun) -> None:
    wanted = ["key", "similarity_yellow", "pairs"]
    pd.testing.assert_frame_equal(run.images(wanted).to_pandas(), rows_of(run)[wanted])
    assert run.images().column_names == list(rows_of(run))
    for name in ("pairs", "neurons", "heads", "codes", "exemplars"):
        assert getattr(run, name)().equals(pq.read_table(f"{run.url}/fit/{name}.parquet"))
    for name in ("codes", "exemplars"):
        whole = getattr(run, name)().to_pandas()
        for pair in (0, 777, 4095):
            one = getattr(run, name)(pair).to_pandas()
            expected = whole[whole["pair"] == pair].reset_index(drop=True)
            pd.testing.assert_frame_equal(one, expected)
            assert len(one)
    assert run.rejects().num_rows == 0 and run.info == Run(run.url).info


def test_only_committed_shards_are_read(run: OpenRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.url, tmp_path / "run"))
    gone, *_ = sorted((folder / "shards").iterdir())
    lost = json.loads(gone.read_text())["written"]
    after = open_run(folder)
    assert after.images(["key"]).num_rows == 90
    gone.unlink()
    assert after.images(["key"]).num_rows == 90 - lost
    assert set(after.images(["shard"])["shard"].to_pylist()).isdisjoint({gone.stem})
    pair = int(rows_of(run)["pairs"][0][0])
    assert gone.stem not in set(after.firings(pair)["shard"].to_pylist())
    assert after.counts == {"shards": 2, "read": 90 - lost, "written": 90 - lost, "rejected": 0}
    assert f"{90 - lost} images of 2 shards" in repr(after)
    assert f"fitted on 90 images, but the run now holds {90 - lost}" in repr(after.show(0))


def test_a_pair_fires_where_the_rows_say_so(run: OpenRun) -> None:
    rows = rows_of(run)
    for pair in {int(pairs[-1]) for pairs in rows["pairs"][:5]}:
        expected = {
            (row.shard, row.key): coefficient
            for row in rows.itertuples()
            for number, coefficient in zip(row.pairs, row.coefficients, strict=True)
            if number == pair
        }
        found = run.firings(pair).to_pylist()
        assert {(f["shard"], f["key"]): f["coefficient"] for f in found} == expected
        strengths = [abs(f["coefficient"]) for f in found]
        assert strengths == sorted(strengths, reverse=True) and {f["pair"] for f in found} == {pair}


def test_tables_of_compaction_give_the_same_firings(run: OpenRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.url, tmp_path / "run"))
    there = open_run(folder)
    compact(CompactPlan(str(folder), in_process=True))
    pairs = {int(pair) for row in rows_of(run)["pairs"][::30] for pair in row[:3]}
    for pair in pairs:
        assert there.firings(pair).equals(run.firings(pair))
    (made,) = (folder / "tables").glob("firings-*.parquet")
    made.write_bytes(b"")  # so that these were read from here
    with pytest.raises(Incomplete, match="firings-"):
        there.firings(pair)
    gone, *_ = sorted((folder / "shards").iterdir())
    gone.unlink()  # now the group is stale, and the rows tell
    left = [row for row in run.firings(pair).to_pylist() if row["shard"] != gone.stem]
    assert there.firings(pair).to_pylist() == left


def test_sql_reads_the_same_rows_and_only_reads(run: OpenRun) -> None:
    found = run.sql("SELECT key, similarity_yellow FROM images ORDER BY shard, key")
    expected = rows_of(run).sort_values(["shard", "key"])[["key", "similarity_yellow"]]
    pd.testing.assert_frame_equal(found.to_pandas(), expected.reset_index(drop=True))
    both = run.sql("SELECT count(*) AS n FROM images JOIN baseline.images USING (key)", run.url)
    assert both["n"].to_pylist() == [90]
    for query in ("DROP VIEW images", "SELECT nothing FROM images", "SELECT 1; SELECT 2"):
        with pytest.raises(UsageError):
            run.sql(query)


def test_every_name_of_a_pair_is_the_same_pair(run: OpenRun) -> None:
    for name in (1480, np.int32(1480), np.int64(1480), "1480", "2,456", " 2 , 456", (2, 456)):
        assert run.number(name) == 1480
    first = run.pairs().to_pandas().iloc[1480]
    assert (first["head"], first["neuron"]) == (2, 456)


def test_a_card_says_what_the_tables_say(run: OpenRun) -> None:
    pairs = run.pairs().to_pandas()
    best = int(pairs["importance"].idxmax())
    card = run.show(best)
    row = pairs.iloc[best]
    assert card.rank == 1 and card.of == len(pairs) and card.words == tuple(row["words"])
    assert card.std == pytest.approx(row["std"] * row["direction_norm"])
    assert [(s.shard, s.key, s.coefficient) for s in card.images] == [
        (e["shard"], e["key"], e["coefficient"]) for e in run.exemplars(best).to_pylist()
    ]
    assert dict(card.code) == {c["word"]: c["coefficient"] for c in run.codes(best).to_pylist()}
    labels = {name: row[f"r_{name}"] for name in run.info["labels"]}
    assert dict(card.labels) == {k: v for k, v in labels.items() if not math.isnan(v)}
    html, text = card._repr_html_(), repr(card)
    assert html.count("data:image/jpeg;base64,") == len(card.images) == 10
    for shown in card.images:
        assert shown.key in html and shown.key in text
    assert all(width(line) <= 96 for line in text.splitlines())
    assert not re.search(r"<(link|script|iframe)|https?://|url\(", html), "self-contained"


def test_a_card_without_pictures_opens_no_shard(run: OpenRun) -> None:
    html = run.show(5, images=False)._repr_html_()
    assert "<img" not in html
    assert all(key in html for key in run.exemplars(5)["key"].to_pylist())


def test_heat_lies_where_the_model_looks(run: OpenRun) -> None:
    card = run.show(1480, heat=True)
    assert all(shown.heat and shown.heat != shown.uri for shown in card.images)
    assert card._repr_html_().count("<img") == 20


def test_hostile_texts_stay_texts(run: OpenRun, tmp_path: Path) -> None:
    folder = shutil.copytree(run.url, tmp_path / "run")
    for name, column, value in (
        ("exemplars", "key", f"a/{EVIL}\x1b[2J"),
        ("codes", "word", EVIL),
        ("pairs", "words", [EVIL, "plain"]),
    ):
        path = f"{folder}/fit/{name}.parquet"
        table = pq.read_table(path)
        place = table.column_names.index(column)
        kind = table.schema.field(column).type
        write_parquet(path, table.set_column(place, column, pa.array([value] * len(table), kind)))
    card = open_run(folder).show(0)
    html = card._repr_html_()
    assert "<script" not in html and "onerror" not in html and html.count("&lt;script&gt;") > 10
    assert "\x1b" not in repr(card) and EVIL in repr(card)


def test_shards_that_are_gone_leave_a_gap_and_no_error(run: OpenRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.url, tmp_path / "run"))
    for record in (folder / "shards").iterdir():
        told = json.loads(record.read_text())
        record.write_text(json.dumps(told | {"url": f"{tmp_path}/nowhere.tar"}))
    card = open_run(folder).show(0)
    assert {shown.uri for shown in card.images} == {None} and "<img" not in card._repr_html_()


def test_what_is_not_there_is_said_so(run: OpenRun, dense_run: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run folder"):
        open_run(tmp_path)
    with pytest.raises(UsageError, match="s3x://bucket/run cannot be opened: Protocol not known"):
        open_run("s3x://bucket/run")
    shutil.copytree(dense_run, tmp_path / "bare", ignore=shutil.ignore_patterns("fit"))
    unfitted = open_run(tmp_path / "bare")
    assert "not fitted yet" in repr(unfitted)
    for ask in (unfitted.pairs, unfitted.codes, lambda: unfitted.show(0)):
        with pytest.raises(UsageError, match="run nhd fit --run"):
            ask()
    assert run.images("key").column_names == ["key"]
    with pytest.raises(UsageError, match="has no column nope; it has shard, key"):
        run.images(["key", "nope"])
    for pair in (4096, -1, "8,0", "0,512", (9, 1)):
        with pytest.raises(UsageError, match=r"heads 0 to 7 and neurons 0 to 511, so pairs 0 to"):
            run.show(pair)
    for text in ("yellow", "1,2,3", "", None, 1.5):
        with pytest.raises(UsageError, match="is no pair: give its number"):
            run.firings(text)  # type: ignore[arg-type]


def test_runs_at_urls_read_as_well(run: OpenRun) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(run.url, "/open_run_at_url", recursive=True)
    there = open_run("memory://open_run_at_url")
    assert there.codes("2,456").equals(run.codes(1480))
    assert there.images(["key"]).equals(run.images(["key"]))
    assert there.show(3).images == run.show(3).images
    memory.rm("/open_run_at_url", recursive=True)


def test_opening_a_run_and_showing_a_pair_needs_no_torch(run: OpenRun) -> None:
    code = (
        "import sys; from pipelines.store import open_run; "
        f"run = open_run({run.url!r}); repr(run), run.show(7)._repr_html_(), run.images(['key']); "
        "print([m for m in ('torch', 'ray', 'open_clip', 'duckdb', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

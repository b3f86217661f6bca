"""DuckDB over a run: only what it should reach, errors in one sentence, answers in every format."""

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.commands.query import Query
from pipelines.errors import Incomplete, Unwritable, UsageError
from pipelines.tables.ask import Question, ask
from pipelines.tables.database import Database, connect, open_database, select
from pipelines.tables.text import aligned, cell
from pipelines.terminal.aligned import width as wide
from tests.jobs.test_cli import nhd
from tests.synthetic_run import make_run
from tests.tables.conftest import Study


@pytest.fixture(scope="module")
def database(study: Study) -> Iterator[Database]:
    found = open_database(*study)
    yield found
    found.connection.close()


def test_views_are_the_tables_of_the_run(database: Database, study: Study) -> None:
    for view in ("pairs", "neurons", "heads", "codes", "exemplars"):
        ours = select(database, f"FROM {view}").read_all().to_pandas()
        pd.testing.assert_frame_equal(ours, pd.read_parquet(f"{study.run}/fit/{view}.parquet"))
    rejects = select(database, "SELECT key, reason FROM rejects ORDER BY key").read_all()
    assert rejects.to_pylist() == [
        {"key": "a", "reason": "unsupported_format"}, {"key": "b", "reason": "empty_image"},
    ]  # fmt: skip
    counts = select(database, "SELECT sum(read), sum(written), sum(rejected) FROM shards")
    assert list(counts.read_all().to_pylist()[0].values()) == [52, 50, 2]
    info = json.loads(Path(study.run, "run.json").read_text())
    asked = "SELECT pair FROM concepts WHERE slug = 'car' ORDER BY rank"
    assert select(database, asked).read_all()["pair"].to_pylist() == info["concept_pairs"][1]


def test_nothing_but_the_answer_is_printed(database: Database) -> None:
    asked = "SELECT current_setting('enable_progress_bar') AS shown"
    assert select(database, asked).read_all()["shown"].to_pylist() == [False]


def test_meta_is_json(database: Database) -> None:
    asked = "SELECT DISTINCT (meta->>'year')::INT = year AS same FROM images"
    assert select(database, asked).read_all()["same"].to_pylist() == [True]


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "WITH a AS (COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)) FROM a",
        "WITH a AS (DELETE FROM concepts RETURNING *) FROM a",
        "COPY (SELECT 1) TO '{other}'",
        "EXPORT DATABASE '{other}'",
        "ATTACH '{other}'",
        "CREATE TABLE mine AS SELECT 1",
        "DROP VIEW images",
        "SET enable_external_access = true",
        "SELECT 1; DROP VIEW images",
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('{file}x')",
        "FROM '{other}'",
        "FROM glob('/etc/*')",
        "FROM query('COPY (SELECT 1) TO ''{other}''')",
        "FROM enable_logging(storage = 'file', storage_config = {{'path': '{other}'}})",
        "FROM secret_of_the_program",
        "LOAD httpfs",
        "",
    ],
)
def test_a_query_only_reads_and_only_the_run(
    statement: str, database: Database, study: Study, tmp_path: Path
) -> None:
    secret_of_the_program = pd.DataFrame({"a": [1]})
    assert len(secret_of_the_program) == 1
    file = next(Path(study.run, "tables").glob("images-*.parquet"))
    before = file.read_bytes()
    with pytest.raises(UsageError):
        select(database, statement.format(file=file, other=tmp_path / "mine")).read_all()
    assert file.read_bytes() == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT simlarity_yellow FROM images", 'Candidate bindings: "similarity_yellow"'),
        ("SELECT * FROM imags", "no view 'imags': did you mean images? There are concepts, fir"),
        ("SELECT * FROM '/etc/passwd'", "there is no view '/etc/passwd': there are concepts, fir"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT avg(effect) FROM audits", "name a series of audits: --series URL"),
        ("SELECT * FROM baseline.images", "name a second run: --baseline URL"),
        ("SELECT words FROM pairs", "is not fitted yet: run nhd fit --run"),
        ("SELECT meta::INT FROM images", "Could not convert string"),
        ("SELECT error(repeat('x', 900))", "xxx"),
        ("SELECT error('a' || chr(27) || '[2J')", "a [2J"),
    ],
)
def test_errors_are_one_sentence_with_a_hint(sql: str, says: str, study: Study) -> None:
    found = nhd("query", sql, "--run", study.baseline)
    assert found.returncode == 2 and found.stdout == ""
    assert says in found.stderr and found.stderr.count("\n") == 1
    assert "\x1b" not in found.stderr


def test_what_cannot_be_opened_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run folder"):
        connect(str(tmp_path))
    with pytest.raises(UsageError, match="was made with other weights"):
        connect(study.run, baseline=make_run(tmp_path / "other", n=20))
    with pytest.raises(UsageError, match=r"is no series of audits: it has no trend\.parquet"):
        connect(study.run, series=str(tmp_path))
    with (
        mock.patch.dict(sys.modules, {"duckdb": None}),
        pytest.raises(UsageError, match=r"pip install 'nhd\[query\]'"),
    ):
        connect(study.run)


def test_a_file_that_is_gone_is_no_fault_of_the_query(study: Study, tmp_path: Path) -> None:
    run = shutil.copytree(study.baseline, tmp_path / "run")
    database = open_database(str(run))
    for file in (run / "images").iterdir():
        file.unlink()
    with pytest.raises(Incomplete, match="cannot be read"):
        select(database, "SELECT sum(year) FROM images").read_all()


def test_any_folder_name_will_do(study: Study, tmp_path: Path) -> None:
    names = ("it's", "run[1]", "what? *", 'a "b"', "100%")
    for name in names:
        shutil.copytree(study.baseline, tmp_path / name)
        shutil.copytree(study.run, tmp_path / f"{name}2")
    for name in names:
        found = connect(str(tmp_path / name), str(tmp_path / f"{name}2"))
        query = "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM baseline.firings)"
        assert found.execute(query).fetchone() == (40, 50 * 256)


def answer(question: Question) -> str:
    """What is printed."""
    printed = io.StringIO()
    ask(question, printed)
    return printed.getvalue()


def test_every_format_says_the_same(study: Study, tmp_path: Path) -> None:
    columns = "key, year, similarity_car, pairs[:2] AS pairs, NULL AS nothing"
    sql = f"SELECT {columns} FROM images ORDER BY key"
    asked = Question(study.run, sql, limit=7)
    truth = connect(study.run).execute(f"{sql} LIMIT 7").fetchall()
    as_json = json.loads(answer(Question(study.run, sql, format="json", limit=7)))
    rows = list(
        csv.DictReader(io.StringIO(answer(Question(study.run, sql, format="csv", limit=7))))
    )
    out = tmp_path / "answer.parquet"
    assert answer(Question(study.run, sql, out=str(out), limit=7)) == f"written: {out}\n"
    table = pd.read_parquet(out)
    assert len(table) == len(as_json) == len(rows) == len(truth) == 7
    for i, (key, year, similarity, pairs, nothing) in enumerate(truth):
        assert as_json[i] | {"similarity_car": None} == {
            "key": key, "year": year, "similarity_car": None, "pairs": pairs, "nothing": nothing,
        }  # fmt: skip
        assert as_json[i]["similarity_car"] == pytest.approx(similarity, rel=1e-6)
        assert float(rows[i]["similarity_car"]) == as_json[i]["similarity_car"]
        assert (rows[i]["key"], rows[i]["nothing"]) == (key, "")
        assert json.loads(rows[i]["pairs"]) == list(table["pairs"][i]) == pairs
    assert "the first 7 rows" in answer(asked)
    for name in ("csv", "json"):
        file = tmp_path / f"answer.{name}"
        assert answer(Question(study.run, sql, out=str(file), limit=7)) == f"written: {file}\n"
        assert file.read_text() == answer(Question(study.run, sql, format=name, limit=7))
    with pytest.raises(UsageError, match="--out"):
        answer(Question(study.run, sql, format="parquet"))
    with pytest.raises(UsageError, match="does not say its format"):
        answer(Question(study.run, sql, out=str(tmp_path / "answer.xlsx")))
    assert not (tmp_path / "answer.xlsx").exists()


def test_who_reads_may_have_enough_before_the_end(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        Query("SELECT * FROM firings", run=study.run, format="csv")()


def test_a_place_that_cannot_be_written_is_said_in_one_sentence(study: Study) -> None:
    for name in ("csv", "json", "parquet"):
        with pytest.raises(Unwritable, match="/proc/none/a"):
            answer(Question(study.run, "SELECT 1", out=f"/proc/none/a.{name}"))


def test_without_sql_views_are_listed_with_examples_that_run(study: Study) -> None:
    found = nhd("query", "--run", study.run)
    assert found.returncode == 0
    for text in ("images", "similarity_<concept> float", "yellow, car, brick", "--series URL"):
        assert text in found.stdout
    examples = [line.split('"')[1] for line in found.stdout.splitlines() if "nhd query" in line]
    assert len(examples) == 3
    for sql in examples:
        assert nhd("query", sql, "--run", study.run).returncode == 0


cells = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.lists(st.floats()))


@settings(max_examples=40)
@given(st.lists(st.tuples(cells, cells, st.integers()), max_size=5), st.integers(40, 200))
def test_tables_fit_and_numbers_stand_to_the_right(
    rows: list[tuple[object, ...]], width: int
) -> None:
    lines = aligned(["one", "two", "number"], rows, width)
    table = lines[: 2 + len(rows)]
    assert all(wide(line) <= width for line in table)
    assert all("\x1b" not in line and "\n" not in line for line in lines)
    if len(table[1].split()) == 3 and rows:
        assert all(line.endswith(cell(row[2])) for line, row in zip(table[2:], rows, strict=True))


def test_a_connection_leaves_nothing_behind(study: Study, tmp_path: Path) -> None:
    with mock.patch.dict(os.environ, {"TMPDIR": str(tmp_path)}):
        connection = connect(study.run)
        connection.execute("SELECT pair, count(*) FROM firings GROUP BY pair").fetchall()
        connection.close()
    assert not list(tmp_path.iterdir())

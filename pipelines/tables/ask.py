"""One question put to a run: the answer on the terminal, or in a file."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, cast, get_args

import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.io.files import atomic_file
from pipelines.io.store import Run
from pipelines.tables import output
from pipelines.tables.database import Database, batches_of, open_database, select
from pipelines.tables.listing import listing
from pipelines.tables.output import Format
from pipelines.tables.text import aligned

SHOWN = 40  # rows of a table, unless --limit says otherwise
NARROWEST = 40
Writer = Callable[[IO[str], pa.Schema, Iterator[pa.RecordBatch]], None]
WIDTH = 120  # where there is no terminal


@dataclass(frozen=True)
class Question:
    """What is asked of what, and how it is answered."""

    run: str
    sql: str | None = None
    """None: which views there are."""
    baseline: str | None = None
    series: str | None = None
    format: Format | None = None
    """None: by the name of `out`; a table where there is none."""
    out: str | None = None
    limit: int | None = None


def ask(question: Question, to: IO[str]) -> None:
    """Write the answer, or where it was written to; rows of CSV and JSON as they are computed.

    Raises UsageError for what cannot be asked, Incomplete where files cannot be read.
    """
    database = open_database(question.run, question.baseline, question.series)
    try:
        width = max(NARROWEST, shutil.get_terminal_size((WIDTH, 0)).columns)
        if question.sql is None:
            to.write("\n".join(listing(database, Run(question.run), width)) + "\n")
        else:
            _answer(question, question.sql, database, width, to)
    finally:
        database.connection.close()


def _answer(question: Question, sql: str, database: Database, width: int, to: IO[str]) -> None:
    kind = _format(question)
    reader = select(database, sql)
    batches = batches_of(database, reader)
    most = SHOWN if question.limit is None else question.limit
    if kind != "table":
        batches = output.limited(batches, question.limit)
    writers: dict[str, Writer] = {
        "csv": output.write_csv,
        "json": output.write_json,
        "table": partial(_table, limit=most, width=width),
    }
    if question.out is None:
        writers[kind](to, reader.schema, batches)
        return
    with atomic_file(question.out) as path:
        if kind == "parquet":
            output.write_parquet(path, reader.schema, batches)
        else:
            with open(path, "w", encoding="utf-8", newline="") as file:
                writers[kind](file, reader.schema, batches)
    to.write(f"written: {question.out}\n")


def _format(question: Question) -> Format:
    """UsageError where neither says it, and where Parquet would go to the terminal."""
    suffix = (question.out or ".table").rpartition(".")[2]
    if question.format is None and suffix not in get_args(Format):
        raise UsageError(
            f"the name of {question.out} does not say its format: end it with .csv, .json or "
            ".parquet, or give --format"
        )
    kind = question.format or cast(Format, suffix)
    if kind == "parquet" and question.out is None:
        raise UsageError("Parquet is no text: name a file with --out")
    return kind


def _table(
    file: IO[str], schema: pa.Schema, batches: Iterator[pa.RecordBatch], limit: int, width: int
) -> None:
    """At most `limit` rows, and a word on whether there are more."""
    rows = list(
        itertools.chain.from_iterable(
            zip(*(column.to_pylist() for column in batch.columns), strict=True)
            for batch in output.limited(batches, limit + 1)
        )
    )
    lines = aligned(schema.names, rows[:limit], width)
    if len(rows) > limit:
        lines.append(f"the first {limit} rows: --limit N shows more, --out FILE.csv takes all")
    elif not rows:
        lines.append("no row")
    file.write("\n".join(lines) + "\n")

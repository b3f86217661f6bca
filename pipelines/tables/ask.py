"""One question put to a run: the answer on the terminal, or in a file."""

import io
import itertools
import shutil
from dataclasses import dataclass
from typing import cast, get_args

import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.io.files import atomic_file, atomic_write
from pipelines.io.store import Run
from pipelines.tables import output
from pipelines.tables.database import Database, explained, open_database, select
from pipelines.tables.listing import listing
from pipelines.tables.output import Format
from pipelines.tables.text import aligned

SHOWN = 40  # rows of a table, unless --limit says otherwise
NARROWEST = 40
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


def ask(question: Question) -> str:
    """The text to print: the answer, or where it was written to.

    Raises UsageError for what cannot be asked, Incomplete where files cannot be read.
    """
    database = open_database(question.run, question.baseline, question.series)
    try:
        width = max(NARROWEST, shutil.get_terminal_size((WIDTH, 0)).columns)
        if question.sql is None:
            return "\n".join(listing(database, Run(question.run), width)) + "\n"
        return _answer(question, question.sql, database, width)
    finally:
        database.connection.close()


def _answer(question: Question, sql: str, database: Database, width: int) -> str:
    kind = _format(question)
    reader = select(database, sql)
    try:
        if kind == "table":
            text = _table(reader, question.limit, width)
        else:
            batches = output.limited(reader, question.limit)
            if kind == "parquet":
                assert question.out is not None
                with atomic_file(question.out) as path:
                    output.write_parquet(path, reader.schema, batches)
                return f"written: {question.out}\n"
            buffer = io.StringIO()
            write = output.write_csv if kind == "csv" else output.write_json
            write(buffer, reader.schema, batches)
            text = buffer.getvalue()
    except (pa.ArrowException, OSError) as error:  # what goes wrong while batches are computed
        raise explained(error, database) from error
    if question.out is None:
        return text
    atomic_write(question.out, text.encode())
    return f"written: {question.out}\n"


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


def _table(reader: pa.RecordBatchReader, limit: int | None, width: int) -> str:
    """At most `limit` rows, and a word on whether there are more."""
    limit = SHOWN if limit is None else limit
    batches = output.limited(reader, limit + 1)
    rows = list(
        itertools.chain.from_iterable(
            zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches
        )
    )
    lines = aligned(reader.schema.names, rows[:limit], width)
    if len(rows) > limit:
        lines.append(f"the first {limit} rows: --limit N shows more, --out FILE.csv takes all")
    elif not rows:
        lines.append("no row")
    return "\n".join(lines) + "\n"

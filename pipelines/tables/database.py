"""DuckDB over a run: `connect`, and `select`, which only reads.

The connection can open no other file than those of its views, can change no setting, and sees no
variable of the program. DuckDB itself would still let COPY replace one of these files, so a
statement that others wrote belongs to `select`, which takes nothing but a single SELECT.
"""

import difflib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec

from pipelines.errors import Incomplete, JobError, UsageError
from pipelines.io.files import is_local, reason
from pipelines.io.store import Run
from pipelines.tables.patient import Patient
from pipelines.tables.views import UNNESTED, View, views_of
from pipelines.terminal.aligned import shortened

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BASELINE = "baseline"
QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
LONGEST = 600  # characters of what DuckDB says: it may repeat a whole value


class Database(NamedTuple):
    """A connection, and what it knows of views that are not there."""

    connection: "duckdb.DuckDBPyConnection"
    missing: dict[str, str]
    """Name, with its schema → what makes it."""
    files: frozenset[str]
    """What the views read, and nothing else."""


def connect(
    run: str, baseline: str | None = None, series: str | None = None
) -> "duckdb.DuckDBPyConnection":
    """DuckDB with the views of a run: see `open_database`, which also knows what is missing."""
    return open_database(run, baseline, series).connection


def open_database(run: str, baseline: str | None = None, series: str | None = None) -> Database:
    """Views `images`, `firings`, `pairs` and so on; those of `baseline` in a schema of that name.

    Raises UsageError where duckdb is not installed, a folder is no run, or the two runs were made
    with different weights, whose pairs have nothing in common.
    """
    duckdb = _duckdb()
    spill = os.path.join(tempfile.gettempdir(), f"nhd-query-{os.getpid()}-{os.urandom(4).hex()}")
    connection = duckdb.connect(config={"temp_directory": spill})  # made, and removed, when needed
    current = views_of(Run(run), series)
    allowed = _create(connection, Run(run), "main", current.found)
    missing = dict(current.missing)
    if baseline is None:
        missing[BASELINE] = "name a second run: --baseline URL"
    else:
        _same_weights(Run(run), Run(baseline))
        other = views_of(Run(baseline))
        allowed += _create(connection, Run(baseline), BASELINE, other.found)
        missing |= {
            f"{BASELINE}.{name}": how for name, how in other.missing.items() if name != "audits"
        }
    _close(connection, allowed)
    return Database(connection, missing, frozenset(allowed))


def select(database: Database, sql: str) -> "pa.RecordBatchReader":
    """The answer to one SELECT, batch by batch.

    Raises UsageError, in one sentence, for anything else and for what DuckDB does not understand,
    Incomplete where files cannot be read.
    """
    duckdb = _duckdb()
    try:
        statements = database.connection.extract_statements(sql)
        kinds = [statement.type for statement in statements]
        if kinds != [duckdb.StatementType.SELECT] or not _reads(database, statements[0].query):
            raise UsageError(
                "nhd query takes one statement that reads: SELECT, WITH, FROM, DESCRIBE, SUMMARIZE "
                "or SHOW"
            )
        return database.connection.sql(statements[0]).to_arrow_reader()
    except JobError:
        raise
    except Exception as error:  # fsspec's file systems raise errors of their own
        raise explained(error, database) from error


def _reads(database: Database, sql: str) -> bool:
    """Is what WITH names also a query? DuckDB lets a SELECT begin with a COPY or DELETE there."""
    asked = database.connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    parsed = json.loads(asked[0][0])
    return not parsed["error"] and all(kind in QUERIES for kind in _named(parsed["statements"]))


def _named(parsed: Any) -> Iterator[str]:
    """The kind of each part that WITH names, at any depth."""
    if isinstance(parsed, dict) and isinstance(part := parsed.get("query_node"), dict):
        yield part["type"]
    if isinstance(parsed, dict | list):
        for inner in parsed.values() if isinstance(parsed, dict) else parsed:
            yield from _named(inner)


def batches_of(database: Database, reader: "pa.RecordBatchReader") -> Iterator["pa.RecordBatch"]:
    """The batches of an answer; what goes wrong while they are computed comes as `explained`."""
    import pyarrow as pa

    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        raise explained(error, database) from error


def explained(error: Exception, database: Database) -> JobError:
    """An error of DuckDB as a sentence, with DuckDB's hint, and what makes a missing view."""
    duckdb = _duckdb()
    of_store = type(error) is duckdb.Error  # a file system's own error, given as its traceback
    if of_store or not isinstance(error, duckdb.Error) or isinstance(error, duckdb.IOException):
        return Incomplete(f"a file of the run cannot be read ({_why(error)}); ask again")
    gone = re.search(r'Cannot access file "(.+?)(?:/\*\*/\*\.parquet)?" -', str(error))
    if gone and gone[1] in database.files:  # DuckDB takes a file that is not there for a folder
        return Incomplete(f"{gone[1]} cannot be read: it is gone; ask again")
    if unmade := _unmade(str(error), database.missing):
        return UsageError(unmade)
    if unknown := re.search(r'Table with name "?(.+?)"? does not exist!', str(error)):
        return UsageError(_no_view(unknown[1], database))
    text = re.sub(r"\n+LINE \d+:.*", "", str(error), flags=re.DOTALL)
    text = re.sub(r"^[A-Z][A-Za-z -]* Error: ", "", text).replace("!\n", ". ")
    text = shortened(" ".join(text.split()).strip(" !"), LONGEST)
    return UsageError(f"the query cannot be answered: {text}")


def _why(error: Exception) -> str:
    """In one line: of a traceback the last, and no part of the query."""
    text = re.split(r"\n+LINE \d+:", reason(error))[0].strip()
    return shortened(text.rpartition("\n")[2] if "Traceback" in text else text, LONGEST)


def _no_view(name: str, database: Database) -> str:
    """DuckDB's own hint would name its system tables."""
    there = views(database)
    near = difflib.get_close_matches(name.lower(), there, 1)
    hint = f"did you mean {near[0]}? There are" if near else "there are"
    return f"there is no view '{shortened(name, LONGEST)}': {hint} {', '.join(there)}"


def views(database: Database) -> list[str]:
    """Names, with their schema but for the run's own, which come first."""
    found = database.connection.execute(
        "SELECT if(table_schema = 'main', '', table_schema || '.') || table_name "
        "FROM information_schema.tables ORDER BY table_schema = 'main' DESC, table_name"
    ).fetchall()
    return [name for (name,) in found]


def _unmade(text: str, missing: dict[str, str]) -> str | None:
    """What makes the view that a query asked for in vain."""
    asked = re.search(r"(?:Table with name|Schema with name|Catalog) \"?([\w.]+)\"? does not", text)
    name = asked[1].removeprefix("main.").lower() if asked else ""
    if name not in missing and name.startswith(f"{BASELINE}."):
        name = BASELINE
    return f"the view '{name}' is not there: {missing[name]}" if name in missing else None


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise UsageError("duckdb is not installed: pip install 'nhd[query]'") from error
    return duckdb


def _same_weights(run: Run, baseline: Run) -> None:
    if run.info["weights_sha256"] != baseline.info["weights_sha256"]:
        raise UsageError(
            f"{baseline.url} was made with other weights than {run.url}: the same number means "
            "another pair there, so ask them one by one"
        )


def _create(connection: Any, run: Run, schema: str, views: list[View]) -> list[str]:
    """Make the views; return the files that they read, also as the patterns they are named by."""
    fs, _ = fsspec.core.url_to_fs(run.url)
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else {*fs.protocol}
    if not is_local(fs) and not protocols & {*connection.list_filesystems()}:
        connection.register_filesystem(Patient(fs))
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    files: list[str] = []
    for view in views:
        if view.table is not None:
            connection.register("nhd_given", view.table)
            connection.execute(f"CREATE TABLE {schema}.{view.name} AS FROM nhd_given")
            connection.unregister("nhd_given")
            continue
        parts = [f"SELECT * FROM {_parquet(view.files)}"] if view.files else []
        if view.unnested:
            parts.append(f"SELECT {UNNESTED} FROM {_parquet(view.unnested)}")
        connection.execute(f"CREATE VIEW {schema}.{view.name} AS {' UNION ALL '.join(parts)}")
        files += [*view.files, *view.unnested]
    return [name for file in files for name in {file, _escaped(file)}]


def _parquet(files: tuple[str, ...]) -> str:
    return f"read_parquet({_list(map(_escaped, files))})"


def _escaped(path: str) -> str:
    """As a pattern that matches this file only."""
    return re.sub(r"([*?[])", r"[\1]", path)


def _list(texts: Any) -> str:
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    return f"[{quoted}]"


def _close(connection: Any, allowed: list[str]) -> None:
    """From here on, no other file is opened and nothing of this can be changed."""
    for setting in (
        f"allowed_paths = {_list(allowed)}",
        "python_enable_replacements = false",
        "enable_progress_bar = false",  # it goes to the standard output, in between the answer
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")

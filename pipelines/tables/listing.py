"""What can be asked of a run, for people: views, rows, columns, and three questions."""

import textwrap
from typing import Any

from pipelines.io.store import Run
from pipelines.io.urls import without_secrets
from pipelines.tables.database import BASELINE, Database, views
from pipelines.tables.text import aligned

SHORT = {"VARCHAR": "text", "INTEGER": "int", "BIGINT": "int", "FLOAT": "float", "DOUBLE": "float"}


def listing(database: Database, run: Run, width: int) -> list[str]:
    """Each view with its rows and columns; those of concepts and labels are named once."""
    info = run.info
    names = views(database)
    rows = [(name, _rows(database, run, name)) for name in names]
    lines = [*aligned(["view", "rows"], rows, width), ""]
    for name in names:
        if not name.startswith(f"{BASELINE}."):
            columns = ", ".join(_columns(database, info, name))
            lines += textwrap.wrap(f"{name}: {columns}", width, subsequent_indent="    ")
    lines += ["", *_of_the_run(info, width)]
    lines += [f"Not there, {name}: {how}." for name, how in database.missing.items()]
    where = f" \\\n        --run {without_secrets(run.url)}"
    lines += ["", "For example:", ""]
    return lines + [f'    nhd query "{sql}"{where}' for sql in _examples(database, info)]


def _rows(database: Database, run: Run, name: str) -> int | None:
    """Firings are not counted where that would mean to read all rows."""
    if name.endswith("firings") and _is_raw(database, name):
        return None
    counted = database.connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    return int(counted[0]) if counted else None


def _is_raw(database: Database, name: str) -> bool:
    schema = name.removesuffix("firings")
    found = database.connection.execute(f"SELECT bool_and(compacted) FROM {schema}shards")
    return found.fetchone() != (True,)


def _columns(database: Database, info: dict[str, Any], name: str) -> list[str]:
    described = database.connection.execute(f"DESCRIBE {name}").fetchall()
    folded = {f"r_{label}": "r_<label>" for label in info["labels"]}
    folded |= dict.fromkeys(info["labels"], "<label>")
    for each in info["concepts"]:
        for measure in ("share", "score", "similarity", "grounded"):
            folded[f"{measure}_{each['slug']}"] = f"{measure}_<concept>"
    seen = []
    for column, kind, *_ in described:
        shown = "head_<number>" if _is_head(column) else folded.get(column, column)
        text = f"{shown} {_kind(kind)}"
        if text not in seen:
            seen.append(text)
    return seen


def _is_head(column: str) -> bool:
    return column.startswith("head_") and column[5:].isdecimal()


def _kind(kind: str) -> str:
    if kind.endswith("[]"):
        return f"list of {_kind(kind[:-2])}"
    return SHORT.get(kind, kind.lower())


def _of_the_run(info: dict[str, Any], width: int) -> list[str]:
    concepts = ", ".join(each["slug"] for each in info["concepts"]) or "none"
    labels = ", ".join(info["labels"]) or "none"
    return [
        *textwrap.wrap(f"Concepts: {concepts}.", width, subsequent_indent="    "),
        *textwrap.wrap(f"Labels: {labels}.", width, subsequent_indent="    "),
    ]


def _examples(database: Database, info: dict[str, Any]) -> list[str]:
    most, found = "ORDER BY 2 DESC LIMIT 5", []
    if "pairs" not in database.missing:
        found.append(f"SELECT pair, importance, words FROM pairs {most}")
    if info["concepts"]:
        slug = info["concepts"][0]["slug"]
        found.append(f"SELECT key, similarity_{slug} FROM images {most}")
    found.append(f"SELECT pair, count(*) FROM firings GROUP BY pair {most}")
    found.append(f"SELECT reason, count(*) FROM rejects GROUP BY reason {most}")
    return found[:3]

"""`nhd query`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass(frozen=True)
class Query:
    """Ask a run in SQL: DuckDB with a view each for images, firings, pairs, codes, rejects and so
    on. It only reads. Without SQL, it says which views and columns there are."""

    sql: tyro.conf.Positional[str | None] = None
    """One SELECT, such as "SELECT pair, words FROM pairs ORDER BY importance DESC LIMIT 5"."""
    run: str = tyro.MISSING
    """The run folder."""
    baseline: str | None = None
    """A second run of the same weights, whose views are baseline.images and so on."""
    series: str | None = None
    """A series of audits (`out` of audit.yaml), for the view `audits`."""
    format: Literal["table", "csv", "json", "parquet"] | None = None
    """By default the suffix of --out decides, and without --out it is a table."""
    out: str | None = None
    """Write the answer to this file or URL instead."""
    limit: int | None = None
    """At most this many rows; by default 40 of a table, and all of other formats."""

    def __call__(self) -> None:
        import os
        import sys

        from pipelines.errors import UsageError
        from pipelines.tables.ask import Question, ask

        if self.limit is not None and self.limit < 0:
            raise UsageError("--limit must not be negative")
        question = Question(
            run=self.run,
            sql=self.sql,
            baseline=self.baseline,
            series=self.series,
            format=self.format,
            out=self.out,
            limit=self.limit,
        )
        try:
            ask(question, sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # who reads, such as head, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

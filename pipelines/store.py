"""A run folder to look into from notebooks and scripts: `open_run(url)`, read-only and lazy.

    from pipelines.store import open_run

    run = open_run("s3://bucket/runs/2024")   # a local path or any fsspec URL
    run.pairs().to_pandas()                   # Arrow tables; pandas is one call away
    run.show("3,118")                         # in Jupyter a card with pictures, elsewhere text

Nothing is read before it is asked for, and of what is read only committed shards: while an
extraction goes on, later calls see more. Everything in the tables comes from the run folder, whose
columns the README explains ("The run folder"). Errors are sentences (`pipelines.errors`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.errors import UsageError
from pipelines.io.store import Run
from pipelines.io.urls import without_secrets

if TYPE_CHECKING:
    from pipelines.explain.card import PairCard

Pair = int | str | tuple[int, int]
"""A pair's number (head · neurons + neuron), or its head and neuron as `"3,118"` or `(3, 118)`."""


def open_run(url: str | os.PathLike[str]) -> "OpenRun":
    """The run folder at a local path or fsspec URL; UsageError where there is none."""
    run = Run(os.fspath(url))
    return OpenRun(run.url, run.info)


@dataclass(frozen=True, repr=False)
class OpenRun:
    """A run folder; every method reads anew, and none writes."""

    url: str
    info: dict[str, Any]
    """run.json: model, weights, concepts, labels, units and all else that the run was made with."""

    def images(self, columns: Sequence[str] | None = None) -> pa.Table:
        """One row per image, in the order of shards.

        Name the columns you need: with embeddings and pairs a million images take gigabytes.
        Raises UsageError where nothing is committed, and for a column that is not there.
        """
        return self._run.images(None if columns is None else self._known(columns))

    def pairs(self) -> pa.Table:
        """One row per pair, in their order: sign, importance, words, r with labels and more."""
        return self._run.table("fit/pairs.parquet")

    def neurons(self) -> pa.Table:
        """One row per neuron and component: explained variance, direction, words."""
        return self._run.table("fit/neurons.parquet")

    def heads(self) -> pa.Table:
        """One row per head and component: explained variance, direction, words."""
        return self._run.table("fit/heads.parquet")

    def codes(self, pair: Pair | None = None) -> pa.Table:
        """The sparse codes, of one pair or of all: pair, rank, word, coefficient."""
        return self._of("fit/codes.parquet", pair)

    def exemplars(self, pair: Pair | None = None) -> pa.Table:
        """The images a pair, or each, deviates most on: pair, rank, shard, key, coefficient."""
        return self._of("fit/exemplars.parquet", pair)

    def rejects(self) -> pa.Table:
        """One row per sample that could not be used, with its reason."""
        return self._run.rejects()

    def firings(self, pair: Pair) -> pa.Table:
        """The images among whose kept pairs this one is, strongest first.

        Columns pair, coefficient, shard, key. From the tables of `nhd compact` where they are
        current, else from the rows of all images, which takes longer.
        """
        from pipelines.tables.of_pair import firings_of

        return firings_of(self._run, self.number(pair))

    def sql(self, query: str, baseline: str | None = None) -> pa.Table:
        """What DuckDB answers to one SELECT over the views of `nhd query`; needs `nhd[query]`.

        `baseline` is a second run, whose views are in the schema of that name. Raises UsageError
        for what is no SELECT or asks for what is not there.
        """
        from pipelines.tables.database import batches_of, open_database, select

        database = open_database(self.url, baseline)
        try:
            reader = select(database, query)
            return pa.Table.from_batches(batches_of(database, reader), reader.schema)
        finally:
            database.connection.close()

    def show(self, pair: Pair, images: bool = True, heat: bool = False) -> "PairCard":
        """A pair to look at: words, code, labels, and the images it deviates most on.

        In Jupyter it draws itself, elsewhere it prints as text. The images are read again from
        their shards, whole shards at a time; `images=False` leaves them out. `heat=True` loads
        the model and lays over each image where in it the pair fires.
        """
        from pipelines.explain.card import pair_card

        return pair_card(self._run, self.info, self.number(pair), images, heat)

    def number(self, pair: Pair) -> int:
        """A pair's number, however it is named; UsageError if there is no such pair."""
        heads, neurons = (int(self.info["units"][name]) for name in ("heads", "neurons"))
        head, neuron = _parsed(pair, neurons)
        if not (0 <= head < heads and 0 <= neuron < neurons):
            raise UsageError(
                f"there is no pair {pair!r}: {without_secrets(self.url)} has heads 0 to "
                f"{heads - 1} and neurons 0 to {neurons - 1}, so pairs 0 to {heads * neurons - 1}"
            )
        return head * neurons + neuron

    @cached_property
    def counts(self) -> dict[str, int]:
        """Committed shards and what is in them, as of the first time this is asked."""
        records = list(self._run.each_record())
        names = ("read", "written", "rejected")
        return {"shards": len(records)} | {n: sum(r[n] for r in records) for n in names}

    @property
    def _run(self) -> Run:
        return Run(self.url)

    def _of(self, path: str, pair: Pair | None) -> pa.Table:
        where = None if pair is None else [("pair", "=", self.number(pair))]
        return self._run.table(path, where=where)

    def _known(self, columns: Sequence[str]) -> list[str]:
        """The columns as a list, if the run has them all."""
        columns = [columns] if isinstance(columns, str) else columns
        there = self._run.columns()
        if missing := [name for name in columns if name not in there]:
            raise UsageError(
                f"{without_secrets(self.url)} has no column {', '.join(missing)}; it has "
                f"{', '.join(there)}"
            )
        return list(columns)

    def __repr__(self) -> str:
        info, counts, units = self.info, self.counts, self.info["units"]
        fitted = "fitted" if self._run.exists("fit", "pairs.parquet") else "not fitted yet"
        weights = " ".join(str(info[k]) for k in ("model", "pretrained") if info.get(k))
        return (
            f"Run {without_secrets(self.url)}\n"
            f"  {counts['written']:,} images of {counts['shards']:,} shards, "
            f"{counts['rejected']:,} rejected\n"
            f"  {weights}: {units['pairs']:,} pairs of {units['heads']} heads and "
            f"{units['neurons']:,} neurons, {fitted}\n"
            f"  {len(info['concepts'])} concepts, {len(info['labels'])} labels, "
            f"{len(info['columns'])} columns of metadata"
        )


def _parsed(pair: Pair, neurons: int) -> tuple[int, int]:
    """Head and neuron of any form of a pair."""
    try:
        if isinstance(pair, str):
            numbers = [int(part) for part in pair.split(",")]
        else:
            numbers = [index(part) for part in (pair if isinstance(pair, tuple) else (pair,))]
        head, neuron = divmod(numbers[0], neurons) if len(numbers) == 1 else numbers
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{pair!r} is no pair: give its number, as 1480, or head and neuron, as '2,456'"
        ) from error
    return head, neuron

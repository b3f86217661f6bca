"""A worker of `nhd compact`: a group of shards in, one file of images and one of firings out."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ShardError
from pipelines.io.files import ROW_GROUP, atomic_file, file_sha256, parquet_writer, sha256
from pipelines.io.store import Run
from pipelines.run import holder, log
from pipelines.run.runner import Done
from pipelines.tables.firings import Firings
from pipelines.tables.manifest import File, Group, Made

AT_ONCE = 1 << 28  # bytes of rows that are held before they are written: dense rows are large


@dataclass(frozen=True)
class Settings:
    """What every worker needs to know."""

    run: str
    holder: tuple[Any, ...]
    """Who must hold the run's lock while files are written (see `holder.check`)."""


@dataclass(frozen=True)
class Item:
    """A group, as something that can be leased."""

    shards: tuple[tuple[str, str], ...]
    """(shard id, sha256 of its rows)."""

    @property
    def group(self) -> Group:
        """The same, as a group."""
        return Group(dict(self.shards))


class Compactor:
    """Copies rows as they are, a shard at a time, and writes their firings at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.run = Run(settings.run)
        self.images = 0
        self.seconds = {"read": 0.0, "decode": 0.0, "forward": 0.0, "write": 0.0}

    def describe(self) -> None:
        """Nothing that is not known before."""

    def work(self, item: Item) -> Done:
        """Make both files of a group.

        Raises ShardError where a shard's rows are not those that its commit record speaks of.
        """
        with log.shard(item.group.name) as counts:
            made = self._made(item.group)
            counts["images"] = made.images.rows
        return Done(made)

    def _made(self, group: Group) -> Made:
        firings = Firings()
        with atomic_file(self.run.at(group.path("images"))) as path:
            schema = self._copy(group, path, firings)
            images = self._file(group.path("images"), path, firings.images)
        start = time.monotonic()
        with atomic_file(self.run.at(group.path("firings"))) as path:
            firings.write(path, schema.metadata)
            by_pair = self._file(group.path("firings"), path, firings.count)
        self._spent("write", start)
        return Made(group, images, by_pair)

    def _copy(self, group: Group, path: str, firings: Firings) -> pa.Schema:
        """Write all rows to `path`, gather their firings; return the rows' schema."""
        tables = _merged(self._tables(group))
        first = next(tables)
        with parquet_writer(path, first.schema) as writer:
            for table in chain((first,), tables):
                start = time.monotonic()
                writer.write_table(table, row_group_size=ROW_GROUP)
                firings.add(table)
                self._spent("write", start)
        return first.schema

    def progress(self) -> dict[str, Any]:
        """See Worker."""
        return {"images": self.images, "rejects": 0, "seconds": self.seconds, "notes": []}

    def _tables(self, group: Group) -> Iterator[pa.Table]:
        """The rows of every shard, row group by row group."""
        for shard, version in group.shards.items():
            start = time.monotonic()
            data = self.run.read("images", f"{shard}.parquet")
            if sha256(data) != version:
                raise ShardError(
                    f"images/{shard}.parquet is not what its commit record says; "
                    "nhd status --check lists such files"
                )
            file = pq.ParquetFile(io.BytesIO(data))
            for number in range(file.num_row_groups):
                table = file.read_row_group(number)
                self.images += len(table)
                self._spent("read", start)
                yield table
                start = time.monotonic()

    def _file(self, name: str, path: str, rows: int) -> File:
        """What is at the local path, before it becomes visible.

        Raises ShardError if it has not as many rows as were read.
        """
        holder.check(self.run, self.settings.holder)
        found = pq.read_metadata(path).num_rows
        if found != rows:
            raise ShardError(f"{name} was written with {found} rows instead of {rows}")
        size, digest = file_sha256(path)
        return File(name, rows, size, digest)

    def _spent(self, phase: str, start: float) -> None:
        self.seconds[phase] += time.monotonic() - start


def _merged(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Consecutive tables put together to a row group, or to AT_ONCE bytes."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= ROW_GROUP or sum(t.nbytes for t in waiting) >= AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)

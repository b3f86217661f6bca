"""The run folder, for all that reads it. How it comes to be is in `pipelines.io.commit`.

A shard is done when `shards/<shard-id>.json`, its commit record, exists. Readers start from the
records, so half-written work is never read.
"""

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from glob import has_magic
from typing import TYPE_CHECKING, Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import Incomplete, JobError, UsageError
from pipelines.io.files import is_local, reason
from pipelines.io.patience import patiently
from pipelines.io.redaction import refuse_credentials, without_secrets

if TYPE_CHECKING:
    from nhd_ops.moments import Moments  # brings torch, which most readers never need

T = TypeVar("T")

SCHEMA_VERSION = 2
Where = list[tuple[str, str, Any]]
RECORDS_AT_ONCE = 1000  # commit records read in one go


@dataclass(frozen=True)
class Run:
    """A run folder at a local path or any fsspec URL, read or written; holds no state."""

    url: str

    def __post_init__(self) -> None:
        refuse_credentials(self.url)

    def at(self, *parts: str) -> str:
        """The URL of something inside the folder."""
        return "/".join((self.url.rstrip("/"), *parts))

    @contextlib.contextmanager
    def place(self, *parts: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
        """The file system and the path in it; what it remembers of listings is forgotten.

        Raises UsageError where there is no such kind of store or what reads it is not installed,
        Incomplete where the store cannot be reached, FileNotFoundError as it is.
        """
        url = self.at(*parts)
        try:
            try:
                fs, path = fsspec.core.url_to_fs(url)
            except (ImportError, ValueError) as error:
                place = without_secrets(self.url)
                raise UsageError(f"{place} cannot be opened: {reason(error)}") from error
            fs.invalidate_cache()
            yield fs, path
        except (FileNotFoundError, JobError, MemoryError):
            raise
        except Exception as error:  # botocore's and aiohttp's errors are no OSError
            raise Incomplete(
                f"{without_secrets(url)} cannot be reached ({reason(error)}); what is committed "
                "stays: run the same command again"
            ) from error

    def ask(self, do: Callable[[fsspec.AbstractFileSystem, str], T], *parts: str) -> T:
        """What `do` answers, given the file system and the path; a store that is away is waited
        for, so that `do` may be called more than once. Raises what `place` does."""
        with self.place(*parts) as (fs, path):
            return patiently(lambda: do(fs, path), self.at(*parts))

    def exists(self, *parts: str) -> bool:
        """Is there such a file?"""
        return self.ask(lambda fs, path: bool(fs.exists(path)), *parts)

    def read(self, *parts: str) -> bytes:
        """The bytes of a file in the folder."""
        return self.ask(lambda fs, path: bytes(fs.cat_file(path)), *parts)

    def delete(self, *parts: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.ask(lambda fs, path: fs.rm_file(path), *parts)

    def delete_folder(self, folder: str) -> None:
        """Remove a folder if it is there and empty; on object stores there are none."""
        with self.place(folder) as (fs, path):
            if is_local(fs):
                with contextlib.suppress(OSError):
                    os.rmdir(path)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted base names of the files in `folder` that end in `suffix`."""
        try:
            found = self.ask(lambda fs, path: fs.ls(path, detail=False), folder)
        except FileNotFoundError:
            return []
        bases = (os.path.basename(name.rstrip("/")) for name in found)
        return sorted(name for name in bases if name.endswith(suffix))

    @property
    def info(self) -> dict[str, Any]:
        """run.json; UsageError where the folder is not a run."""
        if not self.exists("run.json"):
            raise UsageError(f"{without_secrets(self.url)} is not a run folder: it has no run.json")
        info: dict[str, Any] = json.loads(self.read("run.json"))
        return info

    def done(self) -> set[str]:
        """Ids of the shards that have a commit record."""
        return {name.removesuffix(".json") for name in self.names("shards", ".json")}

    def records(self) -> list[dict[str, Any]]:
        """All commit records, sorted by shard id; UsageError where nothing is committed."""
        found = list(self.each_record())
        if not found:
            raise UsageError(
                f"{without_secrets(self.url)} holds no finished shard yet; run nhd extract first"
            )
        return found

    def each_record(self) -> Iterator[dict[str, Any]]:
        """The commit records in order of shard id, possibly none."""
        names = self.names("shards", ".json")
        for start in range(0, len(names), RECORDS_AT_ONCE):
            some = names[start : start + RECORDS_AT_ONCE]
            found = self.ask(partial(_contents, some), "shards")
            for _, data in sorted(found.items()):
                yield json.loads(data)

    def images(self, columns: list[str] | None = None) -> pa.Table:
        """The image rows of all committed shards, in shard order (all columns by default)."""
        return self._tables([f"images/{r['shard']}.parquet" for r in self.records()], columns)

    def rejects(self) -> pa.Table:
        """The rejected samples of all committed shards."""
        paths = [f"rejects/{r['shard']}.parquet" for r in self.records() if r["rejected"]]
        return self._tables(paths) if paths else REJECTS.empty_table()

    def table(
        self, path: str, columns: list[str] | None = None, where: Where | None = None
    ) -> pa.Table:
        """One Parquet file of the folder, e.g. `fit/pairs.parquet`.

        With `where`, pyarrow's filters, only those rows, and of the file only what may hold them.
        """
        if not self.exists(path):
            step = path.split("/", maxsplit=1)[0]
            url = without_secrets(self.url)
            raise UsageError(f"{url} has no {path}; run nhd {step} --run {url} first")
        if where is None:
            return pq.read_table(io.BytesIO(self.read(path)), columns=columns)
        return self.ask(
            lambda fs, at: pq.read_table(at, columns=columns, filters=where, filesystem=fs), path
        )

    def columns(self) -> list[str]:
        """The names of the columns of `images`; UsageError where nothing is committed."""
        shard, *_ = sorted(self.done()) or [record["shard"] for record in self.records()]
        return self.ask(_columns, "images", f"{shard}.parquet")

    def _tables(self, paths: Iterable[str], columns: list[str] | None = None) -> pa.Table:
        tables = (pq.read_table(io.BytesIO(self.read(path)), columns=columns) for path in paths)
        return pa.concat_tables(tables).replace_schema_metadata(None)

    def write_moments(self, name: str, moments: "Moments", header: dict[str, Any]) -> None:
        """Write a group's moments; `header` (records, buckets) travels in the file as JSON."""
        from pipelines.io.moments import write

        write(self, name, moments, header)

    def moments(self, units: bool = True) -> "Moments":
        """All committed moments merged; see `pipelines.io.moments.merged`."""
        from pipelines.io.moments import merged

        return merged(self, units)

    @cached_property
    def shard_urls(self) -> dict[str, str]:
        """Shard id → the URL it was read from."""
        return {r["shard"]: r["url"] for r in self.records()}

    def header(self, moments: str) -> dict[str, Any]:
        """The JSON header of a moments file, without its tensors."""
        return self.ask(_header, moments)


def _contents(names: list[str], fs: fsspec.AbstractFileSystem, folder: str) -> dict[str, bytes]:
    """Path → bytes of the files of these names."""
    paths = [f"{folder}/{name}" for name in names]
    # A list of one path, too, must come back as a dict; `cat` takes [1] for a pattern.
    if len(paths) == 1 or has_magic(folder):
        return {path: fs.cat_file(path) for path in paths}
    # From a given start on, s3fs does not ask for the size before each.
    found: dict[str, bytes] = fs.cat(paths, start=0)
    return found


def _columns(fs: fsspec.AbstractFileSystem, path: str) -> list[str]:
    with fs.open(path) as file:
        names: list[str] = pq.read_schema(file).names
    return names


def _header(fs: fsspec.AbstractFileSystem, path: str) -> dict[str, Any]:
    length = int.from_bytes(fs.cat_file(path, start=0, end=8), "little")
    return moments_header(fs.cat_file(path, start=0, end=8 + length))


def moments_header(data: bytes) -> dict[str, Any]:
    """The JSON header of a moments file's bytes."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]  # type: ignore[assignment]
    return {key: json.loads(value) for key, value in header.items()}


REJECTS = pa.schema([(name, pa.string()) for name in ("shard", "key", "stage", "reason", "detail")])

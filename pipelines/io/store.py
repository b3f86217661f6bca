"""The run folder, for all that reads it. How it comes to be is in `pipelines.io.commit`.

A shard is done when `shards/<shard-id>.json`, its commit record, exists. Readers start from the
records, so half-written work is never read.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from nhd_ops.moments import Moments, from_tensors, merge, relabel, to_tensors
from pipelines.errors import Incomplete, JobError, UsageError
from pipelines.io.files import atomic_write, reason
from pipelines.io.tensors import some_tensors
from pipelines.io.urls import without_secrets

SCHEMA_VERSION = 2
RECORDS_AT_ONCE = 1000  # commit records read in one go
MOST_IMAGES = 2**31 - 1  # whose moments can be merged: histograms count in int32


@dataclass(frozen=True)
class Run:
    """A run folder at a local path or any fsspec URL, read or written; holds no state."""

    url: str

    def at(self, *parts: str) -> str:
        """The URL of something inside the folder."""
        return "/".join((self.url.rstrip("/"), *parts))

    @contextlib.contextmanager
    def _place(self, *parts: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
        """The file system and the path in it; what it remembers of listings is forgotten.

        Raises Incomplete where the store cannot be reached, FileNotFoundError as it is.
        """
        url = self.at(*parts)
        try:
            fs, path = fsspec.core.url_to_fs(url)
            fs.invalidate_cache()
            yield fs, path
        except (FileNotFoundError, JobError, MemoryError):
            raise
        except Exception as error:  # botocore's and aiohttp's errors are no OSError
            raise Incomplete(
                f"{without_secrets(url)} cannot be reached ({reason(error)}); what is committed "
                "stays: run the same command again"
            ) from error

    def exists(self, *parts: str) -> bool:
        """Is there such a file?"""
        with self._place(*parts) as (fs, path):
            return bool(fs.exists(path))

    def read(self, *parts: str) -> bytes:
        """The bytes of a file in the folder."""
        with self._place(*parts) as (fs, path):
            data: bytes = fs.cat_file(path)
        return data

    def delete(self, *parts: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError), self._place(*parts) as (fs, path):
            fs.rm_file(path)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Sorted base names of the files in `folder` that end in `suffix`."""
        try:
            with self._place(folder) as (fs, path):
                found = fs.ls(path, detail=False)
        except FileNotFoundError:
            return []
        bases = (os.path.basename(name.rstrip("/")) for name in found)
        return sorted(name for name in bases if name.endswith(suffix))

    @property
    def info(self) -> dict[str, Any]:
        """run.json; UsageError where the folder is not a run."""
        if not self.exists("run.json"):
            raise UsageError(f"{self.url} is not a run folder: it has no run.json")
        info: dict[str, Any] = json.loads(self.read("run.json"))
        return info

    def done(self) -> set[str]:
        """Ids of the shards that have a commit record."""
        return {name.removesuffix(".json") for name in self.names("shards", ".json")}

    def records(self) -> list[dict[str, Any]]:
        """All commit records, sorted by shard id; UsageError where nothing is committed."""
        found = list(self.each_record())
        if not found:
            raise UsageError(f"{self.url} holds no finished shard yet; run nhd extract first")
        return found

    def each_record(self) -> Iterator[dict[str, Any]]:
        """The commit records in order of shard id, possibly none."""
        names = self.names("shards", ".json")
        for start in range(0, len(names), RECORDS_AT_ONCE):
            with self._place("shards") as (fs, path):
                paths = [f"{path}/{name}" for name in names[start : start + RECORDS_AT_ONCE]]
                # A list of one path, too, must come back as a dict.
                found = {p: fs.cat_file(p) for p in paths} if len(paths) == 1 else fs.cat(paths)
            for _, data in sorted(found.items()):
                yield json.loads(data)

    def images(self, columns: list[str] | None = None) -> pa.Table:
        """The image rows of all committed shards, in shard order (all columns by default)."""
        return self._tables([f"images/{r['shard']}.parquet" for r in self.records()], columns)

    def rejects(self) -> pa.Table:
        """The rejected samples of all committed shards."""
        paths = [f"rejects/{r['shard']}.parquet" for r in self.records() if r["rejected"]]
        return self._tables(paths) if paths else REJECTS.empty_table()

    def table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """One Parquet file of the folder, e.g. `fit/pairs.parquet`."""
        if not self.exists(path):
            step = path.split("/", maxsplit=1)[0]
            raise UsageError(f"{self.url} has no {path}; run nhd {step} --run {self.url} first")
        return pq.read_table(io.BytesIO(self.read(path)), columns=columns)

    def _tables(self, paths: Iterable[str], columns: list[str] | None = None) -> pa.Table:
        tables = (pq.read_table(io.BytesIO(self.read(path)), columns=columns) for path in paths)
        return pa.concat_tables(tables).replace_schema_metadata(None)

    def write_moments(self, name: str, moments: Moments, header: dict[str, Any]) -> None:
        """Write a group's moments; `header` (records, buckets) travels in the file as JSON."""
        # safetensors refuses tensors that share memory, as two means of one batch do.
        tensors = {k: t.clone().contiguous().cpu() for k, t in to_tensors(moments).items()}
        text = {k: json.dumps(v, ensure_ascii=False) for k, v in header.items()}
        text["buckets"] = json.dumps(moments.bucket_names())
        atomic_write(self.at(name), save_tensors(tensors, metadata=text))

    def moments(self, units: bool = True) -> Moments:
        """All committed moments merged; image ids are row numbers of `images()`.

        Without `units` neither neurons and heads nor extremes are read: a fifth of the bytes and
        of the time; there are then no units, and lists of no extremes.

        Raises UsageError if the moments files do not cover exactly the committed shards, and for
        more than MOST_IMAGES.
        """
        records = self.records()
        if (images := sum(r["written"] for r in records)) > MOST_IMAGES:
            raise UsageError(
                f"{self.url} holds {images} images, but moments count at most {MOST_IMAGES}: "
                "extract the dataset in parts, each into a run folder of its own"
            )
        starts = _starts({r["shard"]: r["written"] for r in records})
        total: Moments | None = None
        covered: list[str] = []
        for name in sorted({r["moments"] for r in records if r["moments"]}):
            header, tensors = self._moments_file(name, units)
            moments = from_tensors(tensors, header["buckets"])
            del tensors
            counts = {r["shard"]: r["written"] for r in header["records"]}
            covered += counts
            old = torch.tensor(list(_starts(counts).values()))
            new = torch.tensor([starts.get(shard, 0) for shard in counts])
            moments = moments if torch.equal(old, new) else relabel(moments, old, new)
            total = moments if total is None else merge(total, moments)
        if sorted(covered) != sorted(r["shard"] for r in records if r["moments"]):
            raise UsageError(
                f"{self.url}: moments and commit records disagree; wait for the run to end, or "
                "run nhd extract again to mend it"
            )
        if total is None:
            raise UsageError(f"{self.url} has no usable image: every sample was rejected")
        return total

    def _moments_file(self, name: str, units: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Header and tensors of a group's moments, in place of those of units empty ones."""
        if units:
            data = self.read(name)
            return moments_header(data), load_tensors(data)
        with self._place(name) as (fs, path):
            text, tensors = some_tensors(fs, path, _no_unit)
        return {key: json.loads(value) for key, value in text.items()}, tensors | _no_units()

    @cached_property
    def shard_urls(self) -> dict[str, str]:
        """Shard id → the URL it was read from."""
        return {r["shard"]: r["url"] for r in self.records()}

    def header(self, moments: str) -> dict[str, Any]:
        """The JSON header of a moments file, without its tensors."""
        with self._place(moments) as (fs, path):
            length = int.from_bytes(fs.cat_file(path, 0, 8), "little")
            return moments_header(fs.cat_file(path, 0, 8 + length))


def moments_header(data: bytes) -> dict[str, Any]:
    """The JSON header of a moments file's bytes."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]  # type: ignore[assignment]
    return {key: json.loads(value) for key, value in header.items()}


def _starts(counts: dict[str, int]) -> dict[str, int]:
    """Running totals: where each shard's rows begin when shards are laid end to end."""
    starts, total = {}, 0
    for shard, count in counts.items():
        starts[shard] = total
        total += count
    return starts


OF_UNITS = ("largest", "smallest", "neurons/", "heads/")


def _no_unit(key: str) -> bool:
    return not key.startswith(OF_UNITS) or key.endswith("/count")


def _no_units() -> dict[str, Tensor]:
    """The tensors of moments without extremes and units, which merge as such."""
    keys = torch.zeros(0, 0, dtype=torch.int64)
    unit = {
        "mean": torch.zeros(0, 0, dtype=torch.float64),
        "comoment": torch.zeros(0, 0, 0, dtype=torch.float64),
        "keys": keys,
        "vectors": torch.zeros(0, 0, 0),
    }
    units = {f"{kind}/{name}": part for kind in ("neurons", "heads") for name, part in unit.items()}
    return {"largest": keys, "smallest": keys, **units}


REJECTS = pa.schema([(name, pa.string()) for name in ("shard", "key", "stage", "reason", "detail")])

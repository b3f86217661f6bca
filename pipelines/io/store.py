"""The run folder: atomic writes, Parquet, commit records, and readers for all that follows.

A shard is done when `shards/<shard-id>.json` exists. The moments file of a group of shards is
written after their image files and carries their commit records in its header; a run that finds a
moments file without its records writes them (`Run.roll_forward`). So a group is committed by one
atomic write, and half-written work is never read.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from nhd_ops.moments import Moments, from_tensors, merge, relabel, to_tensors
from pipelines.errors import UsageError

SCHEMA_VERSION = 1
ROW_GROUP = 8192


def atomic_write(url: str, data: bytes) -> None:
    """Write `data` so that readers see all of it or nothing; one PUT on object stores."""
    fs, path = fsspec.core.url_to_fs(url)
    if not _is_local(fs):
        fs.pipe_file(path, data)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def write_json(url: str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    atomic_write(url, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_parquet(url: str, table: pa.Table, metadata: dict[str, Any] | None = None) -> bytes:
    """Write `table` (zstd; ids delta-packed, floats byte-stream-split); return the file's bytes.

    `metadata` goes into the file's key-value metadata, each value as JSON.
    """
    if metadata:
        extra = {k: json.dumps(v, ensure_ascii=False) for k, v in metadata.items()}
        table = table.replace_schema_metadata(extra)
    buffer = io.BytesIO()
    encodings = _encodings(table.schema)
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=ROW_GROUP,
        use_dictionary=[f.name for f in table.schema if pa.types.is_string(f.type)],
        column_encoding=encodings or None,
    )
    data = buffer.getvalue()
    atomic_write(url, data)
    return data


def _encodings(schema: pa.Schema) -> dict[str, str]:
    """Encodings that pandas, DuckDB and polars all read and that pack well."""
    by_type = {
        pa.float32(): "BYTE_STREAM_SPLIT",
        pa.float64(): "BYTE_STREAM_SPLIT",
        pa.int32(): "DELTA_BINARY_PACKED",
        pa.int64(): "DELTA_BINARY_PACKED",
    }
    encodings = {}
    for field in schema:
        nested = pa.types.is_list(field.type)
        inner = field.type.value_type if nested else field.type
        if inner in by_type:
            encodings[f"{field.name}.list.element" if nested else field.name] = by_type[inner]
    return encodings


def _is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def sha256(data: bytes) -> str:
    """Hex digest, as stored in commit records."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Run:
    """A run folder at a local path or any fsspec URL, read or written; holds no state."""

    url: str

    def at(self, *parts: str) -> str:
        """The URL of something inside the folder."""
        return "/".join((self.url.rstrip("/"), *parts))

    def exists(self, *parts: str) -> bool:
        """Is there such a file?"""
        fs, path = fsspec.core.url_to_fs(self.at(*parts))
        return bool(fs.exists(path))

    def read(self, *parts: str) -> bytes:
        """The bytes of a file in the folder."""
        fs, path = fsspec.core.url_to_fs(self.at(*parts))
        data: bytes = fs.cat_file(path)
        return data

    def delete(self, *parts: str) -> None:
        """Remove a file if it is there."""
        fs, path = fsspec.core.url_to_fs(self.at(*parts))
        if fs.exists(path):
            fs.rm_file(path)

    def names(self, folder: str, suffix: str) -> list[str]:
        """Sorted base names in `folder` that end in `suffix`; partial writes are left out."""
        fs, path = fsspec.core.url_to_fs(self.at(folder))
        fs.invalidate_cache()
        if not fs.exists(path):
            return []
        found = (os.path.basename(name) for name in fs.ls(path, detail=False))
        return sorted(name for name in found if name.endswith(suffix))

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
        names = self.names("shards", ".json")
        if not names:
            raise UsageError(f"{self.url} holds no finished shard yet; run nhd extract first")
        fs, path = fsspec.core.url_to_fs(self.at("shards"))
        found = fs.cat([f"{path}/{name}" for name in names])
        return [json.loads(data) for _, data in sorted(found.items())]

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

    def roll_forward(self) -> None:
        """Write the commit records of every moments file that was finished but not yet recorded."""
        done = self.done()
        for name in self.names("moments", ".safetensors"):
            for record in moments_header(self.read("moments", name))["records"]:
                if record["shard"] not in done:
                    write_json(self.at("shards", f"{record['shard']}.json"), record)

    def moments(self) -> Moments:
        """All committed moments merged; image ids are row numbers of `images()`.

        Raises UsageError if the moments files do not cover exactly the committed shards.
        """
        records = self.records()
        starts = _starts({r["shard"]: r["written"] for r in records})
        total: Moments | None = None
        covered: list[str] = []
        for name in sorted({r["moments"] for r in records if r["moments"]}):
            data = self.read(name)
            header = moments_header(data)
            moments = from_tensors(load_tensors(data), header["buckets"])
            counts = {r["shard"]: r["written"] for r in header["records"]}
            covered += counts
            old = torch.tensor(list(_starts(counts).values()))
            new = torch.tensor([starts.get(shard, 0) for shard in counts])
            moments = relabel(moments, old, new)
            total = moments if total is None else merge(total, moments)
        if sorted(covered) != sorted(r["shard"] for r in records if r["moments"]):
            raise UsageError(f"{self.url}: moments and commit records disagree; extract anew")
        if total is None:
            raise UsageError(f"{self.url} has no usable image: every sample was rejected")
        return total

    @cached_property
    def shard_urls(self) -> dict[str, str]:
        """Shard id → the URL it was read from."""
        return {r["shard"]: r["url"] for r in self.records()}


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


REJECTS = pa.schema([(name, pa.string()) for name in ("shard", "key", "stage", "reason", "detail")])

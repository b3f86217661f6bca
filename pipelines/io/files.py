"""Files at a local path or any fsspec URL, written so that nobody ever sees half of one."""

import contextlib
import hashlib
import io
import json
import os
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import Unwritable
from pipelines.io.urls import redact, without_secrets

ROW_GROUP = 8192
PARTIAL = ".partial-"  # in the name of a file that is being written


def is_local(fs: fsspec.AbstractFileSystem) -> bool:
    """Is this the machine's own file system?"""
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def atomic_write(url: str, data: bytes) -> None:
    """Write `data` so that readers see all of it or nothing; one PUT on object stores.

    Raises Unwritable, with the reason, where the place is full, read-only or out of reach.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url)
        if is_local(fs):
            _replace(path, data)
        else:
            fs.pipe_file(path, data)
    except MemoryError:
        raise
    except Exception as error:  # botocore's and aiohttp's errors are no OSError
        raise Unwritable(
            f"{without_secrets(url)} cannot be written ({reason(error)}); what is committed stays: "
            "make room or mend it, and run the same command again"
        ) from error


def reason(error: BaseException) -> str:
    """Why a file could not be read or written, in few words and without secrets."""
    said = getattr(error, "strerror", None) or str(error)
    return redact(str(said)) or type(error).__name__


def _replace(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}{PARTIAL}{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def write_json(url: str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    atomic_write(url, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


class ParquetBuffer:
    """A Parquet file in memory, encoded row group by row group (zstd; ids delta-packed, floats
    byte-stream-split), so that only the encoded bytes of a shard's rows are kept.

    `metadata` goes into the file's key-value metadata, each value as JSON.
    """

    def __init__(self, schema: pa.Schema, metadata: dict[str, Any] | None = None) -> None:
        extra = {k: json.dumps(v, ensure_ascii=False) for k, v in (metadata or {}).items()}
        self.schema = schema.with_metadata(extra or schema.metadata)
        self.buffer = io.BytesIO()
        self.writer = pq.ParquetWriter(
            self.buffer,
            self.schema,
            compression="zstd",
            use_dictionary=[f.name for f in schema if pa.types.is_string(f.type)],
            column_encoding=_encodings(schema) or None,
        )

    def add(self, table: pa.Table) -> None:
        """Append rows of the schema."""
        self.writer.write_table(table.cast(self.schema), row_group_size=ROW_GROUP)

    def finish(self) -> bytes:
        """The whole file."""
        self.writer.close()
        return self.buffer.getvalue()


def write_parquet(url: str, table: pa.Table, metadata: dict[str, Any] | None = None) -> bytes:
    """Write `table` atomically, encoded as by ParquetBuffer; return the file's bytes."""
    buffer = ParquetBuffer(table.schema, metadata)
    buffer.add(table)
    data = buffer.finish()
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


def sha256(data: bytes) -> str:
    """Hex digest, as stored in commit records."""
    return hashlib.sha256(data).hexdigest()

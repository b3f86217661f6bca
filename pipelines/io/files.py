"""Files at a local path or any fsspec URL, written so that nobody ever sees half of one."""

import contextlib
import hashlib
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import JobError, ShardError, Unwritable, UsageError
from pipelines.io.patience import patiently
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
            patiently(lambda: fs.pipe_file(path, data), url)
    except MemoryError:
        raise
    except Exception as error:  # botocore's and aiohttp's errors are no OSError
        raise _unwritable(url, error) from error


@contextlib.contextmanager
def atomic_file(url: str) -> Iterator[str]:
    """A local path to write a large file to, which is moved to `url` on leaving, or removed.

    For an object store the path is in the temporary folder (TMPDIR), which must have the room.
    Raises Unwritable as `atomic_write` does.
    """
    fs, path = fsspec.core.url_to_fs(url)
    partial = f"{path}{PARTIAL}{os.getpid()}-{os.urandom(4).hex()}"
    if not is_local(fs):
        partial = os.path.join(tempfile.gettempdir(), os.path.basename(partial))
    try:
        os.makedirs(os.path.dirname(partial) or ".", exist_ok=True)
    except OSError as error:
        raise _unwritable(url, error) from error
    try:
        yield partial
        patiently(lambda: _publish(fs, partial, path), url)
    except (JobError, ShardError, MemoryError, FileNotFoundError, pa.ArrowInvalid):
        raise
    except Exception as error:  # botocore's and aiohttp's errors are no OSError
        raise _unwritable(url, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)


def _publish(fs: fsspec.AbstractFileSystem, partial: str, path: str) -> None:
    if not is_local(fs):
        fs.put_file(partial, path)
        return
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def _unwritable(url: str, error: BaseException) -> Unwritable:
    return Unwritable(
        f"{without_secrets(url)} cannot be written ({reason(error)}); what is committed stays: "
        "make room or mend it, and run the same command again"
    )


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


def private_folder(name: str) -> str:
    """A folder of this user in the temporary folder; made if it is not there.

    UsageError where somebody else has made it, who could then write what this user reads.
    """
    path = os.path.join(tempfile.gettempdir(), f"{name}-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UsageError(f"{path} is not a folder of this user alone; remove it, or set TMPDIR")
    return path


def write_json(url: str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    atomic_write(url, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def parquet_writer(sink: Any, schema: pa.Schema, **more: Any) -> pq.ParquetWriter:
    """A writer to a path or file: zstd, ids delta-packed, floats byte-stream-split.

    `more` are further arguments of pyarrow's writer, or others in place of these.
    """
    usual = {
        "compression": "zstd",
        "use_dictionary": [f.name for f in schema if pa.types.is_string(f.type)],
        "column_encoding": _encodings(schema) or None,
    }
    return pq.ParquetWriter(sink, schema, **{**usual, **more})


class ParquetBuffer:
    """A Parquet file in memory, encoded row group by row group by `parquet_writer`, so that only
    the encoded bytes of a shard's rows are kept.

    `metadata` goes into the file's key-value metadata, each value as JSON.
    """

    def __init__(self, schema: pa.Schema, metadata: dict[str, Any] | None = None) -> None:
        extra = {k: json.dumps(v, ensure_ascii=False) for k, v in (metadata or {}).items()}
        self.schema = schema.with_metadata(extra or schema.metadata)
        self.buffer = io.BytesIO()
        self.writer = parquet_writer(self.buffer, self.schema)

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


def file_sha256(path: str) -> tuple[int, str]:
    """Bytes and hex digest of a local file, without holding it in memory."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def sha256(data: bytes) -> str:
    """Hex digest, as stored in commit records."""
    return hashlib.sha256(data).hexdigest()

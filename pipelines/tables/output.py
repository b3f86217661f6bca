"""An answer as CSV, JSON or Parquet, batch by batch."""

import csv
import json
import math
from collections.abc import Iterator
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa

from pipelines.io.files import ROW_GROUP, parquet_writer

Format = Literal["table", "csv", "json", "parquet"]


def limited(batches: Iterator[pa.RecordBatch], rows: int | None) -> Iterator[pa.RecordBatch]:
    """The first `rows` rows; None: all."""
    left = math.inf if rows is None else rows
    for batch in batches:
        if left <= 0:
            return
        yield batch if len(batch) <= left else batch.slice(0, int(left))
        left -= len(batch)


def write_csv(file: IO[str], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """With a header; lists and structs as JSON, nulls empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(schema.names)
    for batch in batches:
        for row in zip(*map(plain, batch.columns), strict=True):
            nested = (list, dict)
            writer.writerow([_json(v) if isinstance(v, nested) else v for v in row])


def write_json(file: IO[str], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """A list of objects, one a line; what JSON does not know becomes null or text."""
    before = "[\n"
    for batch in batches:
        for row in zip(*map(plain, batch.columns), strict=True):
            file.write(before + _json(dict(zip(schema.names, row, strict=True))))
            before = ",\n"
    file.write("\n]\n" if before == ",\n" else "[]\n")


def write_parquet(path: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """To a local path, encoded as a run's own files."""
    with parquet_writer(path, schema) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]), row_group_size=ROW_GROUP)


def plain(column: pa.Array) -> list[Any]:
    """Python values; those of single precision with the digits that they have."""
    kind = column.type
    if pa.types.is_float32(kind):
        return [None if v is None else float(str(np.float32(v))) for v in column.to_pylist()]
    if pa.types.is_list(kind) and pa.types.is_float32(kind.value_type):
        return [None if row is None else plain(row.values) for row in column]
    found: list[Any] = column.to_pylist()
    return found


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return value

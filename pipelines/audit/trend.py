"""How the watched concepts went from audit to audit: a table made from all verdicts, each time."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from pipelines.audit.series import Verdict
from pipelines.io.files import ParquetBuffer

SCHEMA = pa.schema(
    [
        ("name", pa.string()), ("number", pa.int32()), ("state", pa.string()),
        ("concept", pa.string()), ("effect", pa.float64()), ("low", pa.float64()),
        ("high", pa.float64()), ("limit", pa.float64()), ("alarm", pa.bool_()),
        ("images", pa.int64()), ("rejects", pa.float64()), ("auc", pa.float64()),
    ]
)  # fmt: skip
"""One row per audit and concept; an audit with nothing to compare with has one, without concept."""


def trend_of(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """The columns of `SCHEMA`, in order of the audits; effects are against each one's baseline."""
    rows = []
    for verdict in verdicts:
        once = {name: verdict[name] for name in ("name", "number", "state")}
        once |= {name: verdict[name] for name in ("images", "rejects", "auc")}
        concepts = [row for row in verdict["thresholds"] if row["kind"] == "concept"]
        for row in sorted(concepts, key=lambda row: row["text"]):
            numbers = {key: row[key] for key in ("low", "high", "limit")}
            numbers |= {"effect": row["value"], "alarm": row["state"] == "crossed"}
            rows.append(once | {"concept": row["text"]} | numbers)
        if not concepts:
            rows.append(once | {"alarm": False})
    return pa.Table.from_pylist(rows, SCHEMA).to_pandas()


def trend_bytes(trend: pd.DataFrame) -> bytes:
    """The table as a Parquet file."""
    buffer = ParquetBuffer(SCHEMA)
    buffer.add(pa.Table.from_pandas(trend, SCHEMA, preserve_index=False))
    return buffer.finish()

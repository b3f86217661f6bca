"""The files of a comparison: findings and summary as JSON, tables as Parquet."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.io.files import write_json, write_parquet

if TYPE_CHECKING:
    from pipelines.analyse.compare import Comparison


def write(comparison: "Comparison") -> None:
    """JSON of everything, Parquet of what is a table; the page is another matter."""
    out = comparison.plan.out.rstrip("/")
    write_json(f"{out}/findings.json", plain(comparison.findings))
    write_json(f"{out}/summary.json", plain(comparison.summary))
    scalars = [
        {k: v for k, v in f.items() if not isinstance(v, dict | list)} for f in comparison.findings
    ]
    tables: dict[str, pd.DataFrame | None] = {
        "findings": pd.DataFrame(scalars),
        "labels": comparison.truth,
    }
    tables |= {"pairs": comparison.pairs, "trend": comparison.trend}
    for name, frame in tables.items():
        if frame is not None:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            write_parquet(f"{out}/{name}.parquet", table)
    write_parquet(f"{out}/samples.parquet", comparison.samples)


def plain(value: Any) -> Any:
    """As JSON holds it, which has no NaN and no infinity, and numpy's numbers are not its own."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value

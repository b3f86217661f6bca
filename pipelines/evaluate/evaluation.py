"""A finished evaluation: its tables as values, and as files."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from pipelines.analyse.alike import Alike, alike_table
from pipelines.evaluate.design import Design
from pipelines.evaluate.results import SCHEMA
from pipelines.io.files import write_json, write_parquet
from pipelines.io.store import Run


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and on what."""

    provenance: dict[str, Any]
    design: Design
    seen: dict[str, int]
    rows: pd.DataFrame
    """See `results.SCHEMA`."""
    alike: Alike
    """By uncentred norm."""
    monosemantic: pd.DataFrame
    """See `monosemantic.compared`."""
    labels: pd.DataFrame
    """See `labels.label_table`; empty where no concept has a label."""

    def row(self, experiment: str, unit: str, control: bool = False, **size: float) -> pd.Series:
        """One setting, as in `row("rank", "neurons", k=2)`."""
        r = self.rows
        chosen = (r["experiment"] == experiment) & (r["unit"] == unit) & (r["control"] == control)
        for name, value in size.items():
            chosen &= r[name] == value
        return r[chosen].iloc[0]


def write_tables(out: Run, found: Evaluation) -> None:
    """evaluation.json, and the same rows as Parquet."""
    tables = {"rows": found.rows, "monosemantic": found.monosemantic, "labels": found.labels}
    listed = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
    write_json(out.at("evaluation.json"), {**found.provenance, "seen": found.seen, **listed})
    about = {"nhd": found.provenance}
    rows = pa.Table.from_pandas(found.rows, SCHEMA, preserve_index=False)
    write_parquet(out.at("evaluation.parquet"), rows, about)
    write_parquet(out.at("polysemanticity.parquet"), alike_table(found.alike), about)

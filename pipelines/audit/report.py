"""What `compare` wrote about an audit, and what its run folder counts, read for the verdict."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from pipelines.analyse.sides import FEWEST_IMAGES
from pipelines.audit.series import parsed
from pipelines.io.store import Run

Finding = dict[str, Any]
PAIR_COLUMNS = ["pair", "head", "neuron", "words", "effect", "low", "high", "p", "concept"]


@dataclass(frozen=True)
class Report:
    """One comparison, from its folder."""

    url: str
    findings: list[Finding]
    summary: dict[str, Any]

    def of(self, kind: str) -> Iterator[Finding]:
        """Findings of one kind."""
        return (finding for finding in self.findings if finding["kind"] == kind)

    def pairs(self) -> pd.DataFrame:
        """Every pair."""
        data = Run(self.url).read("pairs.parquet")
        return pq.read_table(io.BytesIO(data), columns=[*PAIR_COLUMNS, "concept_r"]).to_pandas()


def read_report(url: str) -> Report:
    """The report in a folder."""
    folder = Run(url)
    findings, summary = (
        parsed(folder.read(name), folder.at(name)) for name in ("findings.json", "summary.json")
    )
    return Report(url, findings, summary)


def too_few(run: str) -> bool:
    """Are there fewer images than a comparison needs?"""
    return counts_of(run)["written"] < FEWEST_IMAGES


def counts_of(run: str) -> dict[str, int]:
    """read, written and rejected, over all shards of a run folder."""
    records = list(Run(run).each_record())
    return {name: sum(r[name] for r in records) for name in ("read", "written", "rejected")}

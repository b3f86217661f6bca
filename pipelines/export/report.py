"""A finished report, as exports read it: from its folder alone."""

import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UsageError
from pipelines.io.files import sha256
from pipelines.io.store import Run
from pipelines.io.urls import redact

SIDES = ("baseline", "current")
FILES = ("findings.json", "summary.json", "samples.parquet")


@dataclass(frozen=True)
class Report:
    """What `nhd compare` wrote into a folder."""

    url: str
    summary: dict[str, Any]
    findings: list[dict[str, Any]]
    samples: pa.Table
    """The flagged samples (`pipelines.analyse.samples.SAMPLES`)."""
    digest: str
    """SHA-256 of what it says: two reports that say the same have the same."""

    @cached_property
    def changed(self) -> list[dict[str, Any]]:
        """The concepts that changed, the largest effect first."""
        return [f for f in self.findings if f["kind"] == "concept" and f["shifted"]]

    @property
    def overall(self) -> dict[str, Any]:
        """The finding of the domain classifier."""
        return next(f for f in self.findings if f["kind"] == "overall")

    def run(self, side: str) -> Run:
        """The run folder of `baseline` or `current`."""
        return Run(self.summary[side]["url"])


def read_report(url: str) -> Report:
    """The report in a folder at a local path or any fsspec URL.

    Raises UsageError where there is none, or one that an earlier version wrote.
    """
    folder = Run(url.rstrip("/"))
    data = []
    for name in FILES:
        try:
            data.append(folder.read(name))
        except FileNotFoundError:
            raise UsageError(
                f"{redact(url)} has no {name}, so it is no report of this version; "
                "run nhd compare with --out there first"
            ) from None
    findings, summary = (json.loads(part) for part in data[:2])
    samples = pq.read_table(io.BytesIO(data[2])).replace_schema_metadata(None)
    return Report(folder.url, summary, findings, samples, sha256(b"".join(data)))

"""What the lens of a run knows: of each pair its sign and words, and its other tables."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import JobError
from pipelines.io.store import Run


def pairs_of_lens(info: dict[str, Any]) -> pa.Table | None:
    """pair, sign and words from the lens that run.json names; None where it is not there."""
    return table_of_lens(info, "pairs.parquet", ["pair", "sign", "words"])


def table_of_lens(info: dict[str, Any], name: str, columns: list[str]) -> pa.Table | None:
    """Some columns of a file of the lens that run.json names; None where it is not there.

    A convenience, so nothing is raised: the lens may have been moved, or another be in its place.
    """
    url, wanted = info.get("lens_url"), info.get("lens")
    if not url or not wanted:
        return None
    folder = Run(url)
    try:
        if json.loads(folder.read("lens.json"))["id"] != wanted:
            return None
        return pq.read_table(io.BytesIO(folder.read(name)), columns=columns)
    except (OSError, JobError, ValueError, KeyError):
        return None

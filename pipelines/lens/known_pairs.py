"""What the lens of a run knows of each pair: its sign and words."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import JobError
from pipelines.io.store import Run


def pairs_of_lens(info: dict[str, Any]) -> pa.Table | None:
    """pair, sign and words from the lens that run.json names; None where it is not there.

    A convenience, so nothing is raised: the lens may have been moved, or another be in its place.
    """
    url, wanted = info.get("lens_url"), info.get("lens")
    if not url or not wanted:
        return None
    folder = Run(url)
    try:
        if json.loads(folder.read("lens.json"))["id"] != wanted:
            return None
        data = io.BytesIO(folder.read("pairs.parquet"))
        return pq.read_table(data, columns=["pair", "sign", "words"])
    except (OSError, JobError, ValueError, KeyError):
        return None

"""The images that one pair fires on: from the large tables of a run where they are current.

Else from the rows of the images, shard by shard. Both give the same firings.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.io.store import Run
from pipelines.tables.firings import SCHEMA
from pipelines.tables.manifest import cover

COLUMNS = ["shard", "key", "pairs", "coefficients"]


def firings_of(run: Run, pair: int) -> pa.Table:
    """pair, coefficient, shard and key of the images that kept the pair, strongest first.

    Raises UsageError where nothing is committed.
    """
    found = pa.concat_tables([SCHEMA.empty_table(), *_parts(run, pair)])
    strength = pc.abs(found["coefficient"])
    order = [("strength", "descending"), ("shard", "ascending"), ("key", "ascending")]
    return found.append_column("strength", strength).sort_by(order).drop_columns("strength")


def _parts(run: Run, pair: int) -> Iterator[pa.Table]:
    covered = cover(run, run.records())
    for made in covered.made:
        table = run.table(made.group.path("firings"), where=[("pair", "=", pair)])
        yield table.select(SCHEMA.names).cast(SCHEMA)
    for record in covered.raw:
        yield _raw(run, record, pair)


def _raw(run: Run, record: dict[str, Any], pair: int) -> pa.Table:
    """From the rows of one shard."""
    rows = run.table(f"images/{record['shard']}.parquet", COLUMNS).combine_chunks()
    pairs = rows["pairs"].combine_chunks()
    places = np.flatnonzero(pairs.flatten().to_numpy() == pair)
    images = pa.array(pc.list_parent_indices(pairs).to_numpy()[places])
    values = rows["coefficients"].combine_chunks().flatten().take(pa.array(places))
    where = [rows[name].take(images) for name in ("shard", "key")]
    return pa.table([pa.repeat(pair, len(places)), values, *where], names=SCHEMA.names).cast(SCHEMA)

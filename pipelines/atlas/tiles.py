"""What workers made of each shard, kept until the pages are written; and rows of tiles from it."""

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from nhd_ops.spatial_maps import heat
from pipelines.atlas.model import Tile
from pipelines.atlas.rows import Item, Row, Rows
from pipelines.atlas.tiler import Finished, Shown
from pipelines.explain.rows import Exemplar
from pipelines.io.files import write_parquet
from pipelines.io.store import Run

FOLDER = "work"
CHANGED = 0.25  # further off than this, an image is another than the run's


class Seen(NamedTuple):
    """One image in one row, read again."""

    image: str
    grid: np.ndarray
    """[g²]."""
    mean: float


Found = dict[tuple[Row, str, str], Seen]
"""By row, shard and key."""


def name_of(item: Item) -> str:
    """Of the file that says what became of a shard."""
    return f"{item.shard}-{item.digest}.parquet"


def keep(out: Run, finished: Finished) -> None:
    """Write what a worker made, without images that are no longer those of the run."""
    item, shown = finished
    other = {one.showing.key for one in shown if _off(one) > CHANGED}
    same = [one for one in shown if one.showing.key not in other]
    table = pa.table(
        {
            "kind": pa.array([one.showing.kind for one in same], pa.string()),
            "unit": pa.array([one.showing.unit for one in same], pa.int32()),
            "key": pa.array([one.showing.key for one in same], pa.string()),
            "image": pa.array([one.image for one in same], pa.string()),
            "grid": pa.array([one.grid for one in same], pa.list_(pa.float32())),
            "mean": pa.array([one.mean for one in same], pa.float32()),
        }
    )
    write_parquet(out.at(FOLDER, name_of(item)), table)


def _off(one: Shown) -> float:
    """How far an image's total is from what it was chosen by, in standard deviations."""
    error = abs(float(one.grid.sum()) + one.mean - one.showing.value)
    return error / max(one.showing.scale, 1e-12)


def read(out: Run, items: Iterable[Item]) -> Found:
    """All that is there of the items; shards that could not be read have no file."""
    there, found = set(out.names(FOLDER)), Found()
    for item in items:
        if name_of(item) not in there:
            continue
        table = pq.read_table(io.BytesIO(out.read(FOLDER, name_of(item))))
        columns = [table[name].to_pylist() for name in ("kind", "unit", "key", "image", "mean")]
        flat = table["grid"].combine_chunks().flatten().to_numpy()
        grids = flat.reshape(len(table), -1) if len(table) else []
        for kind, unit, key, image, mean, grid in zip(*columns, grids, strict=True):
            found[Row(kind, unit), item.shard, key] = Seen(image, grid, mean)
    return found


def tiles_of(group: Sequence[Row], rows: Rows, found: Found) -> list[tuple[Tile, ...]]:
    """The tiles of each of some rows in order, the heat of all of them on one scale."""
    there = [
        key for row in group for one in rows[row] if (key := (row, one.shard, one.key)) in found
    ]
    heats = dict(zip(there, heat_bytes([found[key] for key in there]), strict=True))
    return [
        tuple(
            _tile(one, found.get(key), heats.get(key))
            for one in rows[row]
            for key in [(row, one.shard, one.key)]
        )
        for row in group
    ]


def _tile(one: Exemplar, seen: Seen | None, heat: bytes | None) -> Tile:
    image, mean = (None, None) if seen is None else (seen.image, seen.mean)
    return Tile(one.shard, one.key, one.coefficient, image, heat, mean)


def heat_bytes(seen: list[Seen]) -> list[bytes]:
    """[g²] each: what adds in the direction of its image's total, 255 for the most of all."""
    if not seen:
        return []
    grids = torch.from_numpy(np.stack([one.grid for one in seen])).double()  # [n,g²]
    totals = grids.sum(1) + torch.tensor([one.mean for one in seen])
    found = heat(grids[:, None], totals)[:, 0]
    level = found / found.max().clamp_min(1e-30) * 255
    return [row.tobytes() for row in level.round().to(torch.uint8).numpy()]

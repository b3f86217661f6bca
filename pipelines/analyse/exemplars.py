"""The images that a run's units deviate most on, with their unit embeddings."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipelines.io.store import Run


class Images(NamedTuple):
    """The images that are exemplars of something, by row number of `Run.images`."""

    rows: np.ndarray
    shards: list[str]
    keys: list[str]
    embeddings: Tensor
    """[R,D], unit."""

    def places(self, ids: Tensor) -> np.ndarray:
        """Row numbers → positions in this list."""
        return np.searchsorted(self.rows, ids.numpy())


def exemplar_images(run: Run, ids: Tensor) -> Images:
    """The images of row numbers of any shape; repeats count once."""
    wanted = np.unique(ids.numpy())
    found = list(_each_shard(run, wanted, ["key", "embedding"]))
    flat = [
        t["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False) for _, t in found
    ]
    rows = [part.reshape(len(table), -1) for part, (_, table) in zip(flat, found, strict=True)]
    unit = torch.nn.functional.normalize(torch.from_numpy(np.concatenate(rows)), dim=1)
    return Images(wanted, *_names(found), unit)


def names_of(run: Run, ids: Tensor) -> dict[int, tuple[str, str]]:
    """Row number → shard and key, without reading embeddings; ids below 0 are left out."""
    wanted = np.unique(ids.numpy())
    wanted = wanted[wanted >= 0]
    names = _names(_each_shard(run, wanted, ["key"]))
    return dict(zip(wanted.tolist(), zip(*names, strict=True), strict=True))


def _names(found: Iterable[tuple[str, pa.Table]]) -> tuple[list[str], list[str]]:
    """Shard and key of every image, in order."""
    shards: list[str] = []
    keys: list[str] = []
    for shard, table in found:
        shards += [shard] * len(table)
        keys += table["key"].to_pylist()
    return shards, keys


def _each_shard(run: Run, wanted: np.ndarray, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """The wanted rows of each shard that has any, given sorted row numbers of `Run.images`."""
    start = 0
    for record in run.records():
        inside = wanted[(wanted >= start) & (wanted < start + record["written"])] - start
        start += record["written"]
        if len(inside):
            path = f"images/{record['shard']}.parquet"
            yield record["shard"], run.table(path, columns).take(inside)

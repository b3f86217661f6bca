"""The images that a run's units deviate most on, with their unit embeddings."""

from typing import NamedTuple

import numpy as np
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
    wanted = np.unique(ids.numpy())
    shards: list[str] = []
    keys: list[str] = []
    embeddings: list[np.ndarray] = []
    start = 0
    for record in run.records():
        inside = wanted[(wanted >= start) & (wanted < start + record["written"])] - start
        start += record["written"]
        if len(inside) == 0:
            continue
        table = run.table(f"images/{record['shard']}.parquet", ["key", "embedding"]).take(inside)
        shards += [record["shard"]] * len(inside)
        keys += table["key"].to_pylist()
        flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        embeddings.append(flat.reshape(len(inside), -1))
    unit = torch.nn.functional.normalize(torch.from_numpy(np.concatenate(embeddings)), dim=1)
    return Images(wanted, shards, keys, unit)

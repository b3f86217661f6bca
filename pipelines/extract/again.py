"""The images of a shard as coefficients again: from pixels through the model, or as stored."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pipelines.extract.decomposer import Decomposer
from pipelines.io.images import Decoded
from pipelines.io.preprocess import stacked
from pipelines.io.store import Run
from pipelines.io.stream import Clock, batches
from pipelines.run.cores import decode_threads

ROWS_AT_ONCE = 64  # of dense coefficients

Tell = Callable[[str, dict[str, Any]], Any]
"""What is wanted to be known of an image, by its key and JSON; None leaves the image out."""


class Decomposed(NamedTuple):
    """Images that were not left out."""

    told: list[Any]
    """What `Tell` said of each."""
    coefficients: Tensor
    """[B,H,C] fp32."""
    embedding: Tensor
    """[B,D] fp32: what the pairs add up to."""
    reference: Tensor | None = None
    """[B,D], `model.encode_image`; of each shard's first batch only, as it takes as long again."""


class Images:
    """A shard of images, through the model."""

    def __init__(self, decomposer: Decomposer, size: int, threads: int) -> None:
        self.decomposer, self.size = decomposer, size
        self.pool = ThreadPoolExecutor(decode_threads(threads))

    def batches(
        self, url: str, tell: Tell, seen: Counter[str], clock: Clock
    ) -> Iterator[Decomposed]:
        """The images of a shard, given its URL; `seen` counts what was read and rejected."""
        first = True
        pixels = self.decomposer.loaded.pixels
        with closing(batches(url, pixels, self.size, self.pool, clock)) as stream:
            for items in stream:
                seen["read"] += len(items)
                good = [item for item in items if isinstance(item, Decoded)]
                seen["rejected"] += len(items) - len(good)
                told = [tell(item.sample.key, item.sample.fields) for item in good]
                kept = [item for item, said in zip(good, told, strict=True) if said is not None]
                if kept:
                    yield self._forward(kept, [said for said in told if said is not None], first)
                    first = False

    def _forward(self, items: list[Decoded], told: list[Any], first: bool) -> Decomposed:
        pixels = stacked([item.pixels for item in items]).to(self.decomposer.device)
        pixels = self.decomposer.loaded.pixels.normalise(pixels)
        coefficients, embedding = self.decomposer.forward(pixels)
        reference = self.decomposer.loaded.model.encode_image(pixels) if first else None
        return Decomposed(told, coefficients, embedding, reference)


class Dense:
    """A shard's rows with every coefficient, rounded to fp16 by `nhd extract --keep dense`."""

    def __init__(self, run: Run, norms: Tensor) -> None:
        self.run = run
        self.heads = [f"head_{head:03d}" for head in range(len(norms))]
        self.scale = torch.where(norms > 0, 1 / norms, 0.0)  # [H,C], from s·‖u‖ to s

    def batches(
        self, shard: str, tell: Tell, seen: Counter[str], clock: Clock
    ) -> Iterator[Decomposed]:
        """See Images, given the shard's id; what extraction rejected is not among the rows."""
        file = pq.ParquetFile(io.BytesIO(self.run.read("images", f"{shard}.parquet")))
        columns = ["key", "meta", "embedding", *self.heads]
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            seen["read"] += len(batch)
            both = zip(batch["key"].to_pylist(), batch["meta"].to_pylist(), strict=True)
            told = [tell(key, json.loads(meta) if meta else {}) for key, meta in both]
            rows = np.array([i for i, said in enumerate(told) if said is not None], dtype=np.int64)
            if len(rows) == 0:
                continue
            signed = torch.stack([_matrix(batch[head], rows) for head in self.heads], dim=1)
            yield Decomposed(
                [said for said in told if said is not None],
                signed.to(self.scale.device) * self.scale,
                _matrix(batch["embedding"], rows).to(self.scale.device),
            )


def _matrix(column: Any, rows: np.ndarray) -> Tensor:
    """Lists of one length as rows of a matrix."""
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(flat.reshape(len(column), -1)[rows])

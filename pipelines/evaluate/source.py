"""Labelled images of one shard as coefficients: from pixels through the model, or as stored."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
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

ROWS_AT_ONCE = 64  # of dense coefficients


class Labelled(NamedTuple):
    """Images with a usable label."""

    coefficients: Tensor
    """[B,H,C] fp32."""
    embedding: Tensor
    """[B,D] fp32: what the pairs add up to."""
    truth: Tensor
    """[B] int64."""
    reference: Tensor | None = None
    """[B,D], `model.encode_image`; of each shard's first batch only, as it takes as long again."""


@dataclass(frozen=True)
class Truth:
    """How a sample's JSON names its class."""

    field: str
    index: dict[str, int]
    """Name → number."""

    def of(self, fields: dict[str, Any], seen: Counter[str]) -> int | None:
        """The class; None, counted in `seen`, where there is none that is known."""
        value = fields.get(self.field)
        if isinstance(value, str) and value in self.index:
            return self.index[value]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(self.index):
            return value
        seen["unlabelled" if value is None else "unknown"] += 1
        return None


class Images:
    """A shard of images, through the model."""

    def __init__(self, decomposer: Decomposer, truth: Truth, size: int, threads: int) -> None:
        self.decomposer, self.truth, self.size = decomposer, truth, size
        self.pool = ThreadPoolExecutor(threads)

    def batches(self, url: str, seen: Counter[str], clock: Clock) -> Iterator[Labelled]:
        """The labelled images of a shard; `seen` counts what was read and why it is not here."""
        first = True
        with closing(
            batches(url, self.decomposer.loaded.pixels, self.size, self.pool, clock)
        ) as stream:
            for items in stream:
                seen["read"] += len(items)
                good = [item for item in items if isinstance(item, Decoded)]
                seen["rejected"] += len(items) - len(good)
                truth = [self.truth.of(item.sample.fields, seen) for item in good]
                kept = [item for item, t in zip(good, truth, strict=True) if t is not None]
                if kept:
                    yield self._forward(kept, [t for t in truth if t is not None], first)
                    first = False

    def _forward(self, items: list[Decoded], truth: list[int], first: bool) -> Labelled:
        device = self.decomposer.device
        pixels = stacked([item.pixels for item in items]).to(device)
        pixels = self.decomposer.loaded.pixels.normalise(pixels)
        coefficients, embedding = self.decomposer.forward(pixels)
        reference = self.decomposer.loaded.model.encode_image(pixels) if first else None
        return Labelled(coefficients, embedding, torch.tensor(truth, device=device), reference)


class Dense:
    """A shard's rows with every coefficient, rounded to fp16 by `nhd extract --keep dense`."""

    def __init__(self, run: Run, norms: Tensor, truth: Truth) -> None:
        self.run, self.truth = run, truth
        self.heads = [f"head_{head:03d}" for head in range(len(norms))]
        self.scale = torch.where(norms > 0, 1 / norms, 0.0)  # [H,C], from s·‖u‖ to s

    def batches(self, shard: str, seen: Counter[str], clock: Clock) -> Iterator[Labelled]:
        """See Images; what was rejected at extraction is not among the rows."""
        file = pq.ParquetFile(io.BytesIO(self.run.read("images", f"{shard}.parquet")))
        columns = ["meta", "embedding", *self.heads]
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            seen["read"] += len(batch)
            metas = batch["meta"].to_pylist()
            truth = [self.truth.of(json.loads(meta) if meta else {}, seen) for meta in metas]
            rows = np.array([i for i, t in enumerate(truth) if t is not None], dtype=np.int64)
            if len(rows) == 0:
                continue
            signed = torch.stack([_matrix(batch[head], rows) for head in self.heads], dim=1)
            yield Labelled(
                signed.to(self.scale.device) * self.scale,
                _matrix(batch["embedding"], rows).to(self.scale.device),
                torch.tensor([t for t in truth if t is not None], device=self.scale.device),
            )


def _matrix(column: Any, rows: np.ndarray) -> Tensor:
    """Lists of one length as rows of a matrix."""
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(flat.reshape(len(column), -1)[rows])

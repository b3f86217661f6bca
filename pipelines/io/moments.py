"""Moments of a run folder: written with each group of shards, read merged over all of them."""

import json
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from nhd_ops.moments import Moments, from_tensors, merge, relabel, to_tensors
from pipelines.errors import UsageError
from pipelines.io.files import atomic_write
from pipelines.io.store import Run, moments_header
from pipelines.io.tensors import some_tensors

MOST_IMAGES = 2**31 - 1  # whose moments can be merged: histograms count in int32


def write(run: Run, name: str, moments: Moments, header: dict[str, Any]) -> None:
    """Write a group's moments; `header` (records, buckets) travels in the file as JSON."""
    # safetensors refuses tensors that share memory, as two means of one batch do.
    tensors = {k: t.clone().contiguous().cpu() for k, t in to_tensors(moments).items()}
    text = {k: json.dumps(v, ensure_ascii=False) for k, v in header.items()}
    text["buckets"] = json.dumps(moments.bucket_names())
    atomic_write(run.at(name), save(tensors, metadata=text))


def merged(run: Run, units: bool = True) -> Moments:
    """All committed moments merged; image ids are row numbers of `images()`.

    Without `units` neither neurons and heads nor extremes are read: a fifth of the bytes and
    of the time; there are then no units, and lists of no extremes.

    Raises UsageError if the moments files do not cover exactly the committed shards, and for
    more than MOST_IMAGES.
    """
    records = run.records()
    if (images := sum(r["written"] for r in records)) > MOST_IMAGES:
        raise UsageError(
            f"{run.url} holds {images} images, but moments count at most {MOST_IMAGES}: "
            "extract the dataset in parts, each into a run folder of its own"
        )
    starts = _starts({r["shard"]: r["written"] for r in records})
    total: Moments | None = None
    covered: list[str] = []
    for name in sorted({r["moments"] for r in records if r["moments"]}):
        header, tensors = _file(run, name, units)
        moments = from_tensors(tensors, header["buckets"])
        del tensors
        counts = {r["shard"]: r["written"] for r in header["records"]}
        covered += counts
        old = torch.tensor(list(_starts(counts).values()))
        new = torch.tensor([starts.get(shard, 0) for shard in counts])
        moments = moments if torch.equal(old, new) else relabel(moments, old, new)
        total = moments if total is None else merge(total, moments)
    if sorted(covered) != sorted(r["shard"] for r in records if r["moments"]):
        raise UsageError(
            f"{run.url}: moments and commit records disagree; wait for the run to end, or "
            "run nhd extract again to mend it"
        )
    if total is None:
        raise UsageError(f"{run.url} has no usable image: every sample was rejected")
    return total


def _file(run: Run, name: str, units: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a group's moments, in place of those of units empty ones."""
    if units:
        data = run.read(name)
        return moments_header(data), load(data)
    text, tensors = run.ask(lambda fs, path: some_tensors(fs, path, _no_unit), name)
    return {key: json.loads(value) for key, value in text.items()}, tensors | _no_units()


def _starts(counts: dict[str, int]) -> dict[str, int]:
    """Running totals: where each shard's rows begin when shards are laid end to end."""
    starts, total = {}, 0
    for shard, count in counts.items():
        starts[shard] = total
        total += count
    return starts


OF_UNITS = ("largest", "smallest", "neurons/", "heads/")


def _no_unit(key: str) -> bool:
    return not key.startswith(OF_UNITS) or key.endswith("/count")


def _no_units() -> dict[str, Tensor]:
    """The tensors of moments without extremes and units, which merge as such."""
    keys = torch.zeros(0, 0, dtype=torch.int64)
    unit = {
        "mean": torch.zeros(0, 0, dtype=torch.float64),
        "comoment": torch.zeros(0, 0, 0, dtype=torch.float64),
        "keys": keys,
        "vectors": torch.zeros(0, 0, 0),
    }
    units = {f"{kind}/{name}": part for kind in ("neurons", "heads") for name, part in unit.items()}
    return {"largest": keys, "smallest": keys, **units}

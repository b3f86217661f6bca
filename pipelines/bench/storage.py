"""What a run takes on disk per image, and what a group's moments take."""

import statistics
import time

import torch
from safetensors.torch import load as load_tensors

from nhd_ops import moments
from pipelines.bench import rn50x16
from pipelines.bench.result import Result
from pipelines.extract.groups import IMAGES_PER_SHARD, full_size
from pipelines.extract.shard_files import ShardFiles
from pipelines.io.store import Run

PROMISED = 5000  # bytes of rows per image
WAITING = 100_000  # shards of the run whose full groups are meant


def measure(folder: str, seed: int) -> list[Result]:
    """See `rows` and `group_moments`."""
    return [*rows(folder, seed), *group_moments(folder, seed)]


def rows(folder: str, seed: int, images: int = IMAGES_PER_SHARD) -> list[Result]:
    """Bytes per image of one shard's rows at RN50x16's size, by the writer of extraction."""
    files = ShardFiles(Run(folder), "shard", rn50x16.layout(), {"nhd": {}})
    for batch in rn50x16.batches(images, seed):
        files.add(batch, [])
    size = files.finish()["files"]["images"]["bytes"] / images
    unit = "bytes an image"
    return [Result("storage: rows", size, unit, rn50x16.PUBLISHED, "published", most=PROMISED)]


def group_moments(folder: str, seed: int, merges: int = 3) -> list[Result]:
    """What the moments of a group weigh, and seconds to write, read and merge them."""
    run = Run(folder)
    total = rn50x16.moments_of(64, seed)
    run.write_moments("moments/first.safetensors", total, {"records": []})
    size = len(run.read("moments/first.safetensors"))
    shards = full_size({"pairs": rn50x16.PAIRS}, WAITING)
    writing, merging = [], []
    for again in range(merges):
        other = rn50x16.moments_of(64, seed + 1 + again)
        start = time.perf_counter()
        run.write_moments("moments/next.safetensors", other, {"records": []})
        writing.append(time.perf_counter() - start)
        start = time.perf_counter()
        total = moments.merge(total, _read(run, "moments/next.safetensors"))
        merging.append(time.perf_counter() - start)
    return [
        Result("storage: moments of a group", size / 1e6, "MB"),
        Result("storage: moments", size / (shards * IMAGES_PER_SHARD), "bytes an image"),
        Result("storage: writing a group's moments", statistics.median(writing), "s"),
        Result("storage: reading and merging them", statistics.median(merging), "s"),
    ]


def _read(run: Run, name: str) -> moments.Moments:
    """As Run.moments reads a group's."""
    found = moments.from_tensors(load_tensors(run.read(name)))
    return moments.relabel(found, torch.tensor([0]), torch.tensor([64]))

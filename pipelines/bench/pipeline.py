"""End to end, from JPEG shards to committed Parquet, against the slower of its two halves."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from pipelines.bench.compute import Setup, settings_for
from pipelines.bench.paired import Times, interleaved, speed
from pipelines.bench.photographs import photograph
from pipelines.bench.result import Result
from pipelines.extract.settings import Group
from pipelines.extract.worker import Extractor
from pipelines.io import commit, shards
from pipelines.io.images import Decoded
from pipelines.io.rejects import Reject
from pipelines.io.store import Run
from pipelines.io.stream import Clock, batches

SHARDS, PER_SHARD, DIFFERENT = 2, 128, 16
ROUNDS = 3
PROMISED = 0.9
Batches = list[list[Decoded | Reject]]


def measure(folder: str, seed: int) -> list[Result]:
    """RN50 in fp32 on the CPU: a warm worker, without the time it takes to start.

    A group's moments are written once in 256 images here, and once in tens of thousands otherwise.
    """
    return pipeline(folder, seed, Setup(batch=32))


def pipeline(folder: str, seed: int, setup: Setup) -> list[Result]:
    """Images per second of the whole and of its halves, decoding and the forward pass."""
    urls = _write(folder, seed)
    times = interleaved(_ways(folder, urls, setup), ROUNDS)
    slower = _slower(times)
    images = SHARDS * PER_SHARD
    name = f"pipeline: shards to Parquet, {setup.model}, {setup.dtype}, {setup.device}"
    halves = [
        speed(f"pipeline: {half}", times, half, "end to end", images, "images/s")
        for half in ("decode only", "forward only")
    ]
    whole = speed(name, times, "end to end", slower, images, "images/s", PROMISED)
    return [whole, *halves]


def _write(folder: str, seed: int) -> list[str]:
    """Shards of 640 x 480 JPEGs, each with a label."""
    files = [photograph(seed + i) for i in range(DIFFERENT)]
    urls = []
    for shard in range(SHARDS):
        members = [
            member
            for i in range(PER_SHARD)
            for member in (
                (f"{i:06d}.jpg", files[i % DIFFERENT]),
                (f"{i:06d}.json", b'{"label": %d}' % (i % 2)),
            )
        ]
        urls.append(f"{folder}/{shard:03d}.tar")
        shards.write(urls[-1], members)
    return urls


def _ways(folder: str, urls: list[str], setup: Setup) -> dict[str, Callable[[], Any]]:
    settings = replace(settings_for(setup), out=f"{folder}/run", decode_threads=2)
    worker = Extractor(settings)
    run = Run(settings.out)
    worker.__dict__["provenance"] = {"nhd": {}}
    decoded = list(_decoded(worker, urls))
    return {
        "end to end": partial(_whole, worker, run, urls, itertools.count()),
        "decode only": lambda: list(_decoded(worker, urls)),
        "forward only": partial(_forward, worker, decoded),
    }


def _whole(worker: Extractor, run: Run, urls: list[str], number: Iterator[int]) -> None:
    """One group, leased and committed; each time under other names."""
    again = next(number)
    group = Group(tuple((f"{again}-{i}", url) for i, url in enumerate(urls)))
    commit.commit(run, worker.work(group).value)


def _decoded(worker: Extractor, urls: list[str]) -> Iterator[list[Decoded | Reject]]:
    size = worker.batch
    with ThreadPoolExecutor(worker.settings.decode_threads) as threads:
        for url in urls:
            with closing(batches(url, worker.transform, size, threads, Clock())) as stream:
                yield from stream


def _forward(worker: Extractor, decoded: Batches) -> None:
    """All that is done with decoded images but writing them."""
    first = 0
    for items in decoded:
        for found in worker.measurer.measure(list(items), first):
            first += len(found.rows.samples) if found.rows is not None else 0
    worker.measurer.moments()


def _slower(times: Times) -> str:
    return max(("decode only", "forward only"), key=lambda name: sum(times[name]))

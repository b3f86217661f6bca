"""Which images fire a pair: asked of the table sorted by pair, and of the rows as extracted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import torch

from nhd_ops.concepts import Measures
from pipelines.bench import rn50x16
from pipelines.bench.child import cost
from pipelines.bench.paired import interleaved, quartiles, speed
from pipelines.bench.result import Result
from pipelines.errors import Incomplete
from pipelines.extract.shard_files import ShardFiles
from pipelines.io.files import write_json
from pipelines.io.rows import Batch, Layout
from pipelines.io.shards import Sample
from pipelines.io.store import SCHEMA_VERSION, Run
from pipelines.tables.database import connect

IMAGES = 100_000
PER_SHARD = 5000
AT_ONCE = 250  # images
ASKED = 7  # pairs
LEAST = 10.0  # times as fast
PEAK = 2.0  # GB
QUESTION = "SELECT shard, key, coefficient FROM {} WHERE pair = {} ORDER BY 3 DESC, 1, 2"


def measure(folder: str, seed: int) -> list[Result]:
    """See `asking`."""
    return asking(folder, seed)


def asking(folder: str, seed: int, images: int = IMAGES) -> list[Result]:
    """Compact a run of RN50x16's 147,456 pairs, 256 an image; then ask for some pairs both ways.

    Raises Incomplete if both ways do not give the same answer.
    """
    run = write_rows(folder, images, seed)
    raw = connect(run)
    command = ["-m", "jobs.cli", "compact", "--run", run, "--in-process"]
    made = cost(command, f"{folder}/compact.log")
    by_pair = connect(run)
    # The raw rows' view is that of a run that was never compacted.
    firings = {"firings": by_pair, "unnest": raw}
    pairs = torch.randperm(rn50x16.PAIRS, generator=torch.Generator().manual_seed(seed))[:ASKED]
    answers = [
        {name: _ask(at, pair).fetchall() for name, at in firings.items()} for pair in pairs.tolist()
    ]
    if any(answer["firings"] != answer["unnest"] for answer in answers):
        raise Incomplete("the table by pair and the rows give different answers")
    times = interleaved({name: _turns(at, pairs.tolist()) for name, at in firings.items()}, ASKED)
    low, middle, high = quartiles([1000 * seconds for seconds in times["firings"]])
    size = sum(record["bytes"] for record in _files(run)) / images
    return [
        speed("query: images that fire a pair", times, "firings", "unnest", least=LEAST),
        Result("query: one question by the table", middle, "ms", low=low, high=high),
        Result("query: the table by pair", size, "bytes an image"),
        Result("query: compacting", images / made.seconds, "images per s"),
        Result("query: peak memory of it", made.peak / 1e9, "GB", most=PEAK),
    ]


def write_rows(folder: str, images: int, seed: int) -> str:
    """A run that has rows only: pairs drawn at random, a thin embedding, no moments; its folder."""
    run = Run(f"{folder}/run")
    layout = Layout({}, ())
    for part, start in enumerate(range(0, images, PER_SHARD)):
        files = ShardFiles(run, f"shard-{part:06d}", layout, {"nhd": {}})
        for batch in _batches(start, min(start + PER_SHARD, images), seed):
            files.add(batch, [])
        record = files.finish() | {"url": f"{folder}/{part:06d}.tar", "seconds": {}, "moments": ""}
        write_json(run.at("shards", f"{record['shard']}.json"), record)
    info = {"schema_version": SCHEMA_VERSION, "concepts": [], "labels": [], "weights_sha256": ""}
    write_json(run.at("run.json"), info)
    return run.url


def _batches(start: int, stop: int, seed: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
    for first in range(start, stop, AT_ONCE):
        count = min(AT_ONCE, stop - first)
        norms = torch.rand(count, rn50x16.TOP_PAIRS, generator=generator).sort(1).values.flip(1)
        signs = torch.randint(2, norms.shape, generator=generator) * 2 - 1
        # Distinct within an image: 256 places in as many equal parts of all pairs.
        each = rn50x16.PAIRS // rn50x16.TOP_PAIRS
        inside = torch.randint(each, norms.shape, generator=generator)
        mixed = torch.rand(norms.shape, generator=generator).argsort(1)
        none = torch.zeros(count, 0)
        yield Batch(
            samples=[_sample(i) for i in range(first, first + count)],
            sizes=[(640, 480)] * count,
            embedding=torch.zeros(count, 1),
            pairs=(mixed * each + inside).int(),
            coefficients=(norms * signs).half().float(),
            norm_total=norms.sum(1),
            norm_kept=norms.sum(1),
            measures=Measures(none, none, none),
            dense=None,
        )


def _sample(index: int) -> Sample:
    return Sample(f"{index // 10_000:05d}{index % 10_000:04d}", b"", "{}", {})


def _ask(connection: Any, pair: int) -> Any:
    return connection.execute(QUESTION.format("firings", pair))


def _turns(connection: Any, pairs: list[int]) -> Callable[[], Any]:
    """Another pair each time."""
    turns = iter(pairs * 10)
    return lambda: _ask(connection, next(turns)).fetchall()


def _files(run: str) -> list[dict[str, Any]]:
    found = json.loads(Run(run).read("tables/tables.json"))["groups"]
    return [group["firings"] for group in found]

"""The extraction job: images in, committed rows, moments and rejects out; resumable by shard."""

import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from pipelines.errors import Incomplete, ShardError, UsageError
from pipelines.extract.settings import Group, Settings
from pipelines.extract.worker import Extractor
from pipelines.io import rows, shards
from pipelines.io.listing import expand
from pipelines.io.store import SCHEMA_VERSION, Run, write_json
from pipelines.models import ModelSpec
from pipelines.run import lock
from pipelines.run.cluster import ray_session
from pipelines.run.pools import InProcess, RayActors
from pipelines.run.progress import Progress
from pipelines.run.runner import Pool, Summary, run

FREE = ("checkpoint", "concept_pairs")  # the weights' hash decides
PEEK = 64  # samples that column types are inferred from
MOMENTS_PER_IMAGE = 2000  # bytes; groups of shards are made large enough to stay under it
IMAGES_PER_SHARD = 1000  # assumed when sizing groups


@dataclass(frozen=True)
class Plan:
    """What the user asked for, parsed."""

    data: str
    out: str
    model: ModelSpec
    concepts: tuple[str, ...] = ()
    pairs_per_concept: int = 5
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    bucket: str | None = None
    top_pairs: int = 256
    keep: str = "sparse"
    dtype: str = "float32"
    batch_size: int = 64
    device: str = "auto"
    workers: int = 0
    decode_threads: int = 0
    in_process: bool = False


def extract(plan: Plan) -> dict[str, int]:
    """Extract every shard that is not committed yet; return the folder's totals.

    Raises UsageError before anything is written, Locked if another run works here, Incomplete
    at the end if shards failed.
    """
    urls = expand(plan.data)
    print(f"{len(urls)} shards", flush=True)
    target = Run(plan.out)
    settings = _settings(plan, urls)
    _same_configuration(target, _identity(settings))
    with lock.held(target, print), _pool(plan, settings) as pool:
        description = pool.describe()
        info = _identity(settings) | description
        _same_configuration(target, info)
        listed = _listed(target, urls)
        info |= {"input": plan.data, "shards": len(listed), "code_version": code_version()}
        write_json(target.at("run.json"), info | {"batch_size": plan.batch_size})
        write_json(target.at("input.json"), listed)
        target.roll_forward()
        summary = _work(pool, target, urls, description["units"])
    return _close(target, summary, urls)


def code_version() -> str:
    """The installed version of nhd."""
    return importlib.metadata.version("nhd")


def _settings(plan: Plan, urls: list[str]) -> Settings:
    slugs = rows.slugs(plan.concepts)
    fields = tuple(dict.fromkeys((*plan.columns, *plan.labels)))
    rows.check_column_names(fields, slugs)
    wanted = (*fields, *([plan.bucket] if plan.bucket else []))
    types = rows.infer_types(wanted, _peek(urls)) if wanted else {}
    types |= dict.fromkeys(plan.labels, "bool")
    device = _device(plan)
    threads = plan.decode_threads or min(8, max(2, (os.cpu_count() or 2) // max(1, plan.workers)))
    return Settings(
        out=plan.out,
        model=plan.model,
        concepts=plan.concepts,
        pairs_per_concept=plan.pairs_per_concept,
        columns=types,
        labels=plan.labels,
        bucket=plan.bucket,
        top_pairs=plan.top_pairs,
        keep=plan.keep,
        dtype=plan.dtype,
        batch_size=plan.batch_size,
        device=device,
        decode_threads=threads,
    )


def _peek(urls: list[str]) -> list[dict[str, Any]]:
    """The JSON fields of the first samples of the first shard that can be read."""
    for url in urls:
        try:
            found = [
                s.fields for s in islice(shards.samples(url), PEEK) if isinstance(s, shards.Sample)
            ]
        except ShardError:
            continue
        if found:
            return found
    raise UsageError("no shard holds a single readable sample")


def _device(plan: Plan) -> str:
    if plan.device != "auto":
        return plan.device
    if plan.in_process:
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    with ray_session() as ray:
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"


def _identity(settings: Settings) -> dict[str, Any]:
    """What must not change between two runs in one folder."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": settings.model.name,
        "pretrained": settings.model.pretrained,
        "checkpoint": settings.model.checkpoint,
        "dtype": settings.dtype,
        "concepts": [
            {"slug": s, "text": t}
            for s, t in zip(rows.slugs(settings.concepts), settings.concepts, strict=True)
        ],
        "pairs_per_concept": settings.pairs_per_concept,
        "columns": settings.columns,
        "labels": list(settings.labels),
        "bucket": settings.bucket,
        "top_pairs": settings.top_pairs,
        "keep": settings.keep,
    }


def _same_configuration(target: Run, wanted: dict[str, Any]) -> None:
    if not target.exists("run.json"):
        return
    there = target.info
    for name, value in wanted.items():
        if there.get(name) != value and name not in FREE:
            raise UsageError(
                f"{target.url} was made with another configuration: {name} was "
                f"{_brief(there.get(name))} and is now {_brief(value)}; choose another --out"
            )


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _listed(target: Run, urls: list[str]) -> list[str]:
    """All shards this folder has ever been asked for: earlier input, then what is new."""
    import json

    before = json.loads(target.read("input.json")) if target.exists("input.json") else []
    return list(dict.fromkeys([*before, *urls]))


@contextmanager
def _pool(plan: Plan, settings: Settings) -> Iterator[Pool]:
    factory = partial(Extractor, settings)
    if plan.in_process:
        yield InProcess(factory)
        return
    with ray_session() as ray:
        resources = ray.cluster_resources()
        gpus = 1 if settings.device.startswith("cuda") else 0
        cpus = int(resources.get("CPU", 1))
        size = plan.workers or int(resources["GPU"] if gpus else max(1, cpus // 4))
        pool = RayActors(factory, size, cpus=max(1, cpus // size) if not gpus else 1, gpus=gpus)
        try:
            yield pool
        finally:
            pool.close()


def _work(pool: Pool, target: Run, urls: list[str], units: dict[str, int]) -> Summary:
    done = target.done()
    ids = sorted((shards.shard_id(url), url) for url in urls)
    waiting = [pair for pair in ids if pair[0] not in done]
    if already := len(ids) - len(waiting):
        print(f"{already} already done", flush=True)
    size = group_size(units, len(waiting), pool.size)
    groups = [Group(tuple(waiting[i : i + size])) for i in range(0, len(waiting), size)]
    shown = Progress(len(waiting))
    try:
        return run(
            pool,
            groups,
            split=lambda group: [Group((shard,)) for shard in group.shards],
            on_tick=lambda summary, totals: shown.update(
                sum(len(records) for records in summary.results), len(summary.failed), totals
            ),
        )
    finally:
        shown.close()


def group_size(units: dict[str, int], waiting: int, workers: int) -> int:
    """Shards per group: enough images that moments stay small on disk, few enough to share out.

    The moments of a group weigh about 1.5 kB per pair, however many images it has.
    """
    enough = -(-1500 * units["pairs"] // (MOMENTS_PER_IMAGE * IMAGES_PER_SHARD))
    return max(1, min(enough, waiting // (4 * workers)))


def _close(target: Run, summary: Summary, urls: list[str]) -> dict[str, int]:
    for name in target.names("failed", ".json"):
        if name in {f"{shard}.json" for shard in target.done()}:
            target.delete("failed", name)
    for group, error in summary.failed:
        shard, url = group.shards[0]
        why = {"shard": shard, "url": url, "error": f"{type(error).__name__}: {error}"}
        write_json(target.at("failed", f"{shard}.json"), why)
    if summary.failed:
        shard, url = summary.failed[0][0].shards[0]
        raise Incomplete(
            f"{len(summary.failed)} of {len(urls)} shards failed, first {url} "
            f"({summary.failed[0][1]}); the rest is committed: mend the cause and run the same "
            f"command again, or see nhd status --run {target.url}"
        )
    records = target.records()
    return {name: sum(r[name] for r in records) for name in ("read", "written", "rejected")}

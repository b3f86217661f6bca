"""The extraction job: images in, committed rows, moments and rejects out; resumable by shard."""

import importlib.metadata
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from pipelines.errors import Incomplete, ShardError, UsageError
from pipelines.extract.chosen_lens import chosen_lens
from pipelines.extract.plan import Plan
from pipelines.extract.settings import Settings
from pipelines.extract.work import Sources, Work
from pipelines.io import rows, shards
from pipelines.io.listing import absolute, expand
from pipelines.io.store import SCHEMA_VERSION, Run
from pipelines.io.urls import fingerprints, redact, without_secrets
from pipelines.lens.lens import LensAt
from pipelines.model_spec import ModelSpec
from pipelines.run import lock
from pipelines.run.cluster import ray_session
from pipelines.run.configuration import same_configuration
from pipelines.run.identity import job_in, new_id, own
from pipelines.run.pool import device_of, pool_of
from pipelines.run.runner import Worker

FREE = ("checkpoint", "concept_pairs")  # the weights' hash decides
Factory = Callable[[Settings], Worker]
PEEK = 64  # samples that column types are inferred from


def extract(plan: Plan, factory: Factory | None = None) -> dict[str, int]:
    """Extract every shard that is not committed yet; return the folder's totals.

    `factory` builds each worker, in its own process, from the settings of the job; by default it
    builds an Extractor.
    Raises UsageError before anything is written, Locked if another run works here, Incomplete
    at the end if shards failed or committed ones have changed since.
    """
    plan = replace(plan, out=absolute(plan.out), model=_findable(plan.model))
    plan, lens = chosen_lens(plan)
    urls = expand(plan.data, must_exist=False)
    _distinct_ids(urls)
    print(f"{len(urls)} shards", flush=True)
    target = Run(plan.out)
    sources = _sources(target, urls)
    with nullcontext() if plan.in_process else ray_session():  # once for all that asks for it
        return _extract(plan, lens, target, urls, sources, factory or _extractor)


def _extract(
    plan: Plan,
    lens: LensAt | None,
    target: Run,
    urls: list[str],
    sources: Sources,
    factory: Factory,
) -> dict[str, int]:
    known = target.info["columns"] if target.exists("run.json") else {}
    settings = _settings(plan, [url for url in urls if sources[url] is not None], known, lens)
    _same_configuration(target, _identity(settings))
    with ExitStack() as stack:
        held = stack.enter_context(lock.held(target, _say))
        settings = replace(settings, holder=held.token)
        job = job_in(target, "extract", new_id(target))
        pool = stack.enter_context(
            pool_of(
                job.worker(partial(factory, settings)),
                settings.device,
                plan.resources,
                plan.in_process,
                plan.lease,
            )
        )
        description = pool.describe()
        info = _identity(settings) | description
        _same_configuration(target, info)
        work = Work(target, held, _say, job)
        work.prepare(own(target, job) | info | _circumstances(plan), urls)
        changed = work.changed(sources, redo=plan.redo_changed)
        failed = work.run(pool, sources, description["units"])
        held.beat()
        held.check()  # or what was committed may be another's
        return work.close(failed, changed, len(urls))


def _extractor(settings: Settings) -> Worker:
    from pipelines.extract.worker import Extractor  # loads open_clip, which only workers need

    return Extractor(settings)


def _findable(model: ModelSpec) -> ModelSpec:
    """Workers may run in another folder."""
    return replace(model, checkpoint=absolute(model.checkpoint)) if model.checkpoint else model


def _distinct_ids(urls: list[str]) -> None:
    ids: dict[str, str] = {}
    for url in urls:
        if (other := ids.setdefault(shards.shard_id(url), url)) != url:
            raise UsageError(
                f"shards {without_secrets(other)} and {without_secrets(url)} have the same id "
                f"{shards.shard_id(url)}; rename one of them"
            )


def _say(text: str) -> None:
    print(text, flush=True)


def _sources(target: Run, urls: list[str]) -> Sources:
    """Size and version of every shard; UsageError if one is missing that is not committed."""
    try:
        found = fingerprints(urls)
    except OSError as error:
        raise Incomplete(f"{error}; nothing was done, run the same command again") from error
    done = target.done()
    missing = [u for u in urls if found[u] is None and shards.shard_id(u) not in done]
    if missing:
        which = without_secrets(missing[0])
        raise UsageError(
            f"shard {which} does not exist"
            if len(urls) == 1
            else f"{len(missing)} of {len(urls)} shards do not exist, first {which}; mend --data"
        )
    return found


def _circumstances(plan: Plan) -> dict[str, Any]:
    """What run.json tells besides the configuration; it may differ from run to run."""
    return {
        "input": redact(plan.data),
        "lens_url": without_secrets(plan.lens) if plan.lens else None,
        "code_version": code_version(),
        "batch_size": plan.batch_size or "auto",
    }


def code_version() -> str:
    """The installed version of nhd."""
    return importlib.metadata.version("nhd")


def _settings(
    plan: Plan,
    urls: list[str],
    known: dict[str, str] | None = None,
    lens: LensAt | None = None,
) -> Settings:
    """With the columns' types of the run so far, else those that the first samples have."""
    known = known or {}
    slugs = rows.slugs(plan.concepts)
    fields = tuple(dict.fromkeys((*plan.columns, *plan.labels)))
    wanted = tuple(dict.fromkeys((*fields, *([plan.bucket] if plan.bucket else []))))
    rows.check_column_names(wanted, slugs, grounded=lens is not None)
    new = tuple(name for name in wanted if name not in known)
    types = {name: known[name] for name in wanted if name in known}
    types |= rows.infer_types(new, _peek(urls)) if new else {}
    types |= dict.fromkeys(plan.labels, "bool")
    device = device_of(plan.device, plan.in_process)
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
        preprocess=plan.preprocess,
        decode_threads=plan.decode_threads,
        lens=lens,
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


def _identity(settings: Settings) -> dict[str, Any]:
    """What must not change between two runs in one folder."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": settings.model.name,
        "pretrained": settings.model.pretrained,
        "checkpoint": settings.model.checkpoint and without_secrets(settings.model.checkpoint),
        "dtype": settings.dtype,
        "concepts": [
            {"slug": s, "text": t}
            for s, t in zip(rows.slugs(settings.concepts), settings.concepts, strict=True)
        ],
        "pairs_per_concept": settings.pairs_per_concept,
        "lens": settings.lens.id if settings.lens else None,
        "columns": settings.columns,
        "labels": list(settings.labels),
        "bucket": settings.bucket,
        "top_pairs": settings.top_pairs,
        "keep": settings.keep,
    }


def _same_configuration(target: Run, wanted: dict[str, Any]) -> None:
    if target.exists("run.json"):
        same_configuration(target.url, target.info, wanted, FREE)

"""How a reference sample's candidates vary together: a second pass over the run's images.

Each of the run's groups of shards leaves a file in `<lens>/work`, so that a pass that was stopped
goes on where it was.
"""

import json
import os
from functools import partial
from typing import Any

from nhd_ops.candidates import Candidates
from nhd_ops.second_moments import SecondMoments, merge
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.batch_size import ON_CPU, ON_GPU
from pipelines.io.files import write_json
from pipelines.io.store import Run
from pipelines.io.urls import fingerprints, redact, without_secrets
from pipelines.lens import worker
from pipelines.lens.plan import CalibratePlan
from pipelines.lens.worker import Calibrator, Item, Settings
from pipelines.model_spec import How, ModelSpec
from pipelines.run import lock
from pipelines.run.identity import job_in
from pipelines.run.pool import device_of, pool_of
from pipelines.run.watched import run_watched

PLAN = "plan.json"


def begin(out: Run, made_from: dict[str, Any], found: Candidates) -> None:
    """Keep what an earlier attempt measured for the same lens; drop what was for another."""
    if out.exists(PLAN) and json.loads(out.read(PLAN)) != made_from:
        print("an unfinished lens of other inputs was here; it is begun anew", flush=True)
        end(out)
    worker.write_candidates(out, found)
    write_json(out.at(PLAN), made_from)


def end(out: Run) -> None:
    """Remove all that was written on the way; the plan last, as it says what the rest is of."""
    for name in out.names(worker.FOLDER):
        out.delete(worker.FOLDER, name)
    out.delete(worker.CANDIDATES)
    out.delete(PLAN)


def second_pass(
    plan: CalibratePlan, source: Run, out: Run, how: How, held: lock.Held
) -> SecondMoments:
    """The candidates' and similarities' moments over all images, merged in order of shard id.

    Raises UsageError where the images are no longer those of the run, Incomplete if shards failed.
    """
    items = _items(source)
    settings = _settings(plan, source, out, how, held)
    there = set(out.names(worker.FOLDER))
    waiting = [item for item in items if item.name not in there]
    if already := len(items) - len(waiting):
        print(f"{already} of {len(items)} groups of shards already measured", flush=True)
    if waiting:
        _refuse_missing(settings, waiting)
        _measure(plan, settings, waiting, held)
    total = worker.read_moments(out, items[0].name)
    for item in items[1:]:
        total = merge(total, worker.read_moments(out, item.name))
    return total


def _items(source: Run) -> list[Item]:
    """The shards whose moments the run keeps in one file; shards without images have none."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for record in source.records():
        if record["written"]:
            groups.setdefault(os.path.basename(record["moments"]), []).append(
                (record["shard"], record["url"])
            )
    return [Item(name, tuple(sorted(shards))) for name, shards in sorted(groups.items())]


def _settings(plan: CalibratePlan, source: Run, out: Run, how: How, held: lock.Held) -> Settings:
    info = source.info
    device = device_of(plan.device, plan.in_process)
    return Settings(
        run=source.url,
        out=out.url,
        model=ModelSpec(info["model"], info["pretrained"], info["checkpoint"]),
        preprocess=how,
        dtype=info["dtype"],
        concepts=tuple((concept["slug"], concept["text"]) for concept in info["concepts"]),
        source="dense" if info["keep"] == "dense" else "images",
        folds=plan.folds,
        batch_size=plan.batch_size or (ON_GPU if device.startswith("cuda") else ON_CPU),
        device=device,
        holder=held.token,
    )


def _refuse_missing(settings: Settings, waiting: list[Item]) -> None:
    """UsageError where shards that are to be read are gone."""
    if settings.source == "dense":
        return
    urls = [url for item in waiting for _, url in item.shards]
    try:
        now = fingerprints(urls)
    except OSError as error:
        raise Incomplete(f"{error}; run the same command again") from error
    if gone := [url for url in urls if now[url] is None]:
        raise UsageError(
            f"{len(gone)} shards that the run was made from are gone, first "
            f"{without_secrets(gone[0])}; bring them back, or extract what is there into a new run"
        )


def _measure(plan: CalibratePlan, settings: Settings, waiting: list[Item], held: lock.Held) -> None:
    job = job_in(Run(settings.out), "calibrate")
    build = job.worker(partial(Calibrator, settings))
    with pool_of(build, settings.device, plan.resources, plan.in_process, plan.lease) as pool:
        failed = run_watched(pool, waiting, held, job)
    if failed:
        item, error = failed[0]
        raise Incomplete(
            f"{len(failed)} of {len(waiting)} groups of shards failed, first that of "
            f"{without_secrets(item.shards[0][1])} ({redact(str(error))}); the others are kept: "
            "mend the cause and run the same command again"
        )

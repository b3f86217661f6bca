"""`nhd compact`: a run's rows in few large files, and its firings by pair.

The run's lock is held, as for extraction: shards cannot change while they are copied, and two
compactions cannot remove each other's files. What is done is written down group by group, so a
stopped compaction goes on where it was, and readers always see every committed row once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.errors import Incomplete
from pipelines.io.store import Run
from pipelines.run.identity import job_in
from pipelines.run.lock import Held, held
from pipelines.run.pool import pool_of
from pipelines.run.resources import OPEN, Resources
from pipelines.run.watched import run_watched
from pipelines.tables import groups, manifest
from pipelines.tables.manifest import FOLDER, NAME, Made
from pipelines.tables.worker import Compactor, Item, Settings


@dataclass(frozen=True)
class CompactPlan:
    """What to compact, and how."""

    run: str
    images: int = groups.IMAGES
    """About how many images a file holds."""
    resources: Resources = OPEN
    """Each worker takes about 1.4 GB for 100,000 images of 256 pairs."""
    in_process: bool = False


def compact(plan: CompactPlan) -> dict[str, Any]:
    """Bring the tables up to date; the totals of what is there then.

    Raises UsageError where there is no run or nothing committed, Locked where another run works in
    the folder, Incomplete where a group cannot be made: the others are there.
    """
    run = Run(plan.run)
    _ = run.info
    with held(run, _say) as lock:
        return _compact(plan, run, lock)


def _compact(plan: CompactPlan, run: Run, lock: Held) -> dict[str, Any]:
    records = run.records()
    before = manifest.cover(run, records)
    todo = groups.plan(before, records, plan.images, partial(_there, run))
    _sweep(run, [*before.made, *before.stale])
    made = {each.group.name: each for each in before.made}
    _say(f"{len(todo.kept)} groups stay, {len(todo.wanted)} to make")

    def keep(new: Made) -> None:
        for name in [n for n, old in made.items() if old.group.shards.keys() & new.group.shards]:
            del made[name]
        made[new.group.name] = new
        manifest.write(run, made.values())

    failed = _make(plan, run, lock, todo.wanted, keep) if todo.wanted else []
    lock.check()
    if todo.wanted or before.stale:
        manifest.write(run, made.values())
    _sweep(run, made.values())
    if failed:
        raise Incomplete(
            f"{len(failed)} of {len(todo.wanted)} groups failed, first: {failed[0][1]}; the others "
            "are there, and the same command goes on"
        )
    return {
        "groups": len(made),
        "made": len(todo.wanted),
        "images": sum(each.images.rows for each in made.values()),
        "firings": sum(each.firings.rows for each in made.values()),
        "bytes": sum(each.images.bytes + each.firings.bytes for each in made.values()),
    }


def _make(
    plan: CompactPlan, run: Run, lock: Held, wanted: list[manifest.Group], keep: Any
) -> list[tuple[Any, Exception]]:
    items = [Item(tuple(group.shards.items())) for group in wanted]
    job = job_in(run, "compact")
    build = job.worker(partial(Compactor, Settings(plan.run, lock.token)))
    with pool_of(build, "cpu", plan.resources, plan.in_process) as pool:
        return run_watched(pool, items, lock, job, keep, unit="group")


def _there(run: Run, made: Made) -> bool:
    return all(run.exists(file.path) for file in (made.images, made.firings))


def _sweep(run: Run, made: Iterable[Made]) -> None:
    """Remove what tables.json does not speak of: files of stopped compactions, and stale ones."""
    kept = {file.path for each in made for file in (each.images, each.firings)}
    for name in run.names(FOLDER):
        if name != NAME and f"{FOLDER}/{name}" not in kept:
            run.delete(FOLDER, name)


def _say(text: str) -> None:
    print(text, flush=True)

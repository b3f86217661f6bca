"""The segmentation job: images in, maps and their agreement with masks out; resumable by unit."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from pipelines.errors import Incomplete, UsageError
from pipelines.io.classes import Classes, read_classes, write_classes
from pipelines.io.files import PARTIAL, atomic_write, write_json
from pipelines.io.listing import absolute
from pipelines.io.store import Run
from pipelines.io.urls import redact, without_secrets
from pipelines.run import lock
from pipelines.run.cluster import ray_session
from pipelines.run.configuration import same_configuration
from pipelines.run.identity import Job, job_in
from pipelines.run.lock import Held
from pipelines.run.pool import device_of, pool_of
from pipelines.run.progress import shares
from pipelines.run.runner import Pool, Summary, Worker, run
from pipelines.run.watched import Watch
from pipelines.segment import report
from pipelines.segment.plan import SegmentPlan
from pipelines.segment.totals import Totals
from pipelines.segment.unit_result import UnitResult, from_bytes
from pipelines.segment.units import Unit, units_of
from pipelines.segment.worker import Finished, SegmentWorker, Told

RESULTS = "units"
CONFIGURATION = "configuration.json"
FREE = ("checkpoint",)  # the weights' hash decides
Factory = Callable[[Told], Worker]


def segment(plan: SegmentPlan, factory: Factory = SegmentWorker) -> dict[str, Any]:
    """Segment every unit that is not done yet, then write the tables and the page.

    Returns what `segmentation.json` holds. `factory` builds each worker in its own process.
    Raises UsageError before anything is written, Locked if another run works here, Incomplete at
    the end if units failed.
    """
    classes = read_classes(plan.classes)
    if 0 <= plan.ignore < len(classes):
        raise UsageError(f"--ignore {plan.ignore} is the number of a class")
    model = plan.model
    if model.checkpoint:  # workers may run in another folder
        model = replace(model, checkpoint=absolute(model.checkpoint))
    plan = replace(plan, out=absolute(plan.out), model=model)
    units, found = units_of(plan.data, plan.masks, plan.overlays)
    _say(found)
    with nullcontext() if plan.in_process else ray_session():  # once for all that asks for it
        return _segment(plan, classes, units, factory)


def _segment(
    plan: SegmentPlan, classes: Classes, units: list[Unit], factory: Factory
) -> dict[str, Any]:
    target = Run(plan.out)
    device = device_of(plan.device, plan.in_process)
    told = Told(
        plan.out, plan.model, classes, plan.settings, plan.view, device, plan.ignore, plan.maps
    )
    wanted = _identity(plan, classes)
    _same_configuration(target, wanted)
    with ExitStack() as stack:
        held = stack.enter_context(lock.held(target, _say))
        job = job_in(target, "segment")
        build = job.worker(partial(factory, replace(told, holder=held.token)))
        pool = stack.enter_context(
            pool_of(build, device, plan.resources, plan.in_process, plan.lease)
        )
        wanted |= pool.describe()
        _same_configuration(target, wanted)
        write_json(target.at(CONFIGURATION), wanted | {"input": redact(plan.data)})
        failed = _run(target, held, job, pool, units)
        held.beat()
        held.check()  # or what was committed may be another's
        if failed:
            raise _incomplete(target, failed, len(units))
        totals = Totals(len(plan.settings), len(classes))
        for unit in units:
            totals.add(from_bytes(target.read(RESULTS, f"{unit.id}.npz")))
        about = wanted | {"input": redact(plan.data), "units": len(units)}
        return report.write(target, plan, classes, about, totals)


def _identity(plan: SegmentPlan, classes: Classes) -> dict[str, Any]:
    """What must not change between two runs in one folder, as JSON has it."""
    view = asdict(plan.view)
    del view["windows_at_once"]  # changes no map
    wanted = {
        "model": plan.model.name,
        "pretrained": plan.model.pretrained,
        "checkpoint": plan.model.checkpoint and without_secrets(plan.model.checkpoint),
        **write_classes(classes),
        "settings": [asdict(setting) for setting in plan.settings],
        "view": view,
        "ignore": plan.ignore,
        "maps": plan.maps,
        "overlays": plan.overlays,
    }
    as_json: dict[str, Any] = json.loads(json.dumps(wanted))
    return as_json


def _same_configuration(target: Run, wanted: dict[str, Any]) -> None:
    if target.exists(CONFIGURATION):
        there = report.read_json(target, CONFIGURATION)
        same_configuration(target.url, there, wanted, FREE)
    elif target.exists("run.json"):
        raise UsageError(f"{target.url} is the folder of another kind of run; choose another --out")


def _run(
    target: Run, held: Held, job: Job, pool: Pool, units: list[Unit]
) -> list[tuple[Unit, Exception]]:
    """Do what is not done; return what failed."""
    done = _done(target, units)
    waiting = [unit for unit in units if unit.id not in done]
    if done:
        _say(f"{len(done)} of {len(units)} already done")
    for name in report.FINAL if waiting else ():
        target.delete(name)  # what was said before no longer holds
    finished: list[dict[str, Any]] = []
    watch, start = Watch(job, len(waiting)), time.perf_counter()

    def keep(value: Finished) -> None:
        held.check()
        atomic_write(target.at(RESULTS, f"{value.id}.npz"), value.data)
        finished.append(value.totals)

    def tick(summary: Summary, progress: list[dict[str, Any]]) -> None:
        held.check()
        watch.update(summary, len(finished), progress)

    try:
        return run(pool, waiting, keep, on_tick=tick, say=watch.say).failed
    finally:
        watch.close()
        if finished:
            _say(_speed(finished, time.perf_counter() - start))


def _speed(finished: list[dict[str, Any]], seconds: float) -> str:
    """Read and decode overlap with forward."""
    images = sum(totals["images"] for totals in finished)
    return (
        f"{images} images in {seconds:.1f} s: {images / seconds:.2f} images/s; {shares(finished)}"
    )


def _done(target: Run, units: list[Unit]) -> set[str]:
    """The units whose result is there, whole, and of what would be read now."""
    there = set(target.names(RESULTS))
    for name in there:
        if PARTIAL in name:
            target.delete(RESULTS, name)
    done = set()
    for unit in units:
        if f"{unit.id}.npz" in there:
            found = _result(target, unit)
            if found is not None and found.source == unit.source:
                done.add(unit.id)
            else:
                why = "is damaged" if found is None else "is of an input that has changed"
                _say(f"the result of {without_secrets(unit.url)} {why}: it is done again")
    return done


def _result(target: Run, unit: Unit) -> UnitResult | None:
    data = target.read(RESULTS, f"{unit.id}.npz")
    try:
        return from_bytes(data)
    except Exception:  # whatever damaged bytes make their readers raise
        return None


def _incomplete(target: Run, failed: list[tuple[Unit, Exception]], asked: int) -> Incomplete:
    unit, error = failed[0]
    return Incomplete(
        f"{len(failed)} of {asked} {'chunks' if unit.files else 'shards'} failed, first "
        f"{without_secrets(unit.url)} ({redact(str(error))}); the rest is committed in "
        f"{target.url}: mend the cause and run the same command again"
    )


def _say(text: str) -> None:
    print(text, flush=True)

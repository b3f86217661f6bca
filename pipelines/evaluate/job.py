"""The evaluation job: labelled images in, one file of counts per shard, then tables and a page."""

import json
from contextlib import nullcontext
from functools import partial
from typing import Any

import pandas as pd

from nhd_ops import attention_pool
from nhd_ops.geometry import geometry_of
from pipelines.analyse.alike import alike_units
from pipelines.analyse.fit import FitPlan, dictionary_of
from pipelines.analyse.same_model import model_of, preprocessing_of
from pipelines.errors import Incomplete, UsageError
from pipelines.evaluate import setup
from pipelines.evaluate.design import Design
from pipelines.evaluate.evaluation import Evaluation, write_tables
from pipelines.evaluate.identity import (
    Shards,
    classes_name,
    coefficients_of,
    design_of,
    identity_of,
    shards_of,
    words_of,
)
from pipelines.evaluate.labels import label_table
from pipelines.evaluate.monosemantic import compared
from pipelines.evaluate.page import write_page
from pipelines.evaluate.plan import EvaluatePlan
from pipelines.evaluate.results import counts_of, rows_of
from pipelines.evaluate.truth import Truth
from pipelines.evaluate.worker import Evaluator, Settings
from pipelines.extract.batch_size import ON_CPU, ON_GPU
from pipelines.extract.job import code_version
from pipelines.io.classes import Classes, read_classes
from pipelines.io.files import write_json
from pipelines.io.listing import absolute
from pipelines.io.store import Run
from pipelines.io.urls import fingerprints, redact, without_secrets
from pipelines.model_spec import How, ModelSpec
from pipelines.run import lock
from pipelines.run.cluster import ray_session
from pipelines.run.configuration import same_configuration
from pipelines.run.identity import job_in
from pipelines.run.pool import device_of, pool_of
from pipelines.run.watched import run_watched


def evaluate(plan: EvaluatePlan) -> Evaluation:
    """Evaluate a run and write tables, figures and a page; shards that are counted are kept.

    Raises UsageError for a run or data that cannot be evaluated, Incomplete if shards failed.
    """
    source = Run(plan.run)
    classes = read_classes(classes_name(plan, source.info))
    out = Run(absolute(plan.out or source.at("evaluate")))
    shards = shards_of(plan, source)
    session = nullcontext() if plan.in_process else ray_session()  # once for all that asks for it
    with session, lock.held(out, _say) as held:
        return _evaluate(plan, source, out, classes, shards, held)


def _evaluate(
    plan: EvaluatePlan, source: Run, out: Run, classes: Classes, shards: Shards, held: lock.Held
) -> Evaluation:
    loaded = model_of(source)
    words = words_of(plan, source.info)
    design = design_of(plan, source.info, words)
    identity = identity_of(plan, source, classes, words, design, shards)
    if out.exists("setup.json"):
        same_configuration(out.url, json.loads(out.read("setup.json")), identity)
    write_json(out.at("setup.json"), identity)
    pool = attention_pool.attention_pool_of(loaded.model.visual)
    geometry = geometry_of(attention_pool.directions_of(pool))
    moments = source.moments()
    if not bool(moments.neurons.comoment.any()):
        raise UsageError(f"nothing varies over the {moments.count} images of {source.url}")
    if not setup.is_ready(out):
        asked = FitPlan(plan.run, words=plan.words)
        atoms = dictionary_of(loaded, asked).atoms if words else None
        made_from = setup.Source(moments, geometry, atoms, classes.embed(loaded))
        setup.prepare(out, design, made_from, plan.in_process)
    settings = _settings(plan, source, out, preprocessing_of(source, loaded), classes, design)
    del loaded  # workers have their own
    _count(plan, out, settings, shards, held)
    counts = [json.loads(out.read("counts", f"{shard}.json")) for shard in shards]
    _refuse_unlabelled(plan, out, counts, classes)
    total = counts_of(counts, len(design.settings()))
    alike, centred = (alike_units(source, moments, geometry, about) for about in (False, True))
    found = Evaluation(
        provenance=identity | {"code_version": code_version()},
        design=design,
        seen=total.seen,
        rows=rows_of(design, total),
        alike=alike,
        monosemantic=pd.concat([compared(alike, "norm"), compared(centred, "centred norm")]),
        labels=label_table(source, source.info),
    )
    held.check()
    write_tables(out, found)
    write_page(out, found)
    return found


def _settings(
    plan: EvaluatePlan, source: Run, out: Run, how: How, classes: Classes, design: Design
) -> Settings:
    info = source.info
    device = device_of(plan.device, plan.in_process)
    return Settings(
        run=absolute(plan.run),
        out=out.url,
        model=ModelSpec(info["model"], info["pretrained"], info["checkpoint"]),
        preprocess=how,
        source="dense" if coefficients_of(plan, info) == "dense" else "images",
        truth=Truth(plan.truth, {name: i for i, name in enumerate(classes.names)}),
        design=design,
        batch_size=plan.batch_size or (ON_GPU if device.startswith("cuda") else ON_CPU),
        device=device,
    )


def _count(
    plan: EvaluatePlan, out: Run, settings: Settings, shards: Shards, held: lock.Held
) -> None:
    """Write the counts of every shard that has none yet, or has changed since."""
    done = _counted(out, settings, shards)
    waiting = [item for item in shards.items() if item[0] not in done]
    if not waiting:
        return
    if already := len(shards) - len(waiting):
        _say(f"{already} of {len(shards)} shards already counted")

    def keep(counts: dict[str, Any]) -> None:
        write_json(out.at("counts", f"{counts['shard']}.json"), counts)

    job = job_in(out, "evaluate")
    build = job.worker(partial(Evaluator, settings))
    with pool_of(build, settings.device, plan.resources, plan.in_process, plan.lease) as pool:
        failed = run_watched(pool, waiting, held, job, keep)
    if failed:
        (_, url), error = failed[0]
        raise Incomplete(
            f"{len(failed)} of {len(shards)} shards failed, first {without_secrets(url)} "
            f"({redact(str(error))}); the others are counted: mend the cause and run the same "
            "command again"
        )


def _counted(out: Run, settings: Settings, shards: Shards) -> set[str]:
    """The shards whose counts are of what lies there now; one that is gone keeps its counts."""
    there = {name.removesuffix(".json") for name in out.names("counts", ".json")} & shards.keys()
    if settings.source == "dense":
        return there
    try:
        now = fingerprints(shards[shard] for shard in there)
    except OSError as error:
        raise Incomplete(f"{error}; run the same command again") from error
    of = {shard: json.loads(out.read("counts", f"{shard}.json"))["source"] for shard in there}
    changed = {shard for shard in there if now[shards[shard]] not in (None, of[shard])}
    if changed:
        _say(f"{len(changed)} shards have changed and are counted again, first {min(changed)}")
    return there - changed


def _refuse_unlabelled(
    plan: EvaluatePlan, out: Run, counts: list[dict[str, Any]], classes: Classes
) -> None:
    if any(found["images"] for found in counts):
        return
    without = sum(found["unlabelled"] for found in counts)
    unknown = sum(found["unknown"] for found in counts)
    # So that the next attempt may be another; setup.json last, as it says what the others are of.
    made = [f"setup/{name}" for name in out.names("setup")]
    for name in (*made, *(f"counts/{found['shard']}.json" for found in counts), "setup.json"):
        out.delete(name)
    raise UsageError(
        f"no image has a class: {without} have no field '{plan.truth}' in their JSON, and of "
        f"{unknown} it names none of the {len(classes)} classes; give --truth or --classes"
    )


def _say(text: str) -> None:
    print(text, flush=True)

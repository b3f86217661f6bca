"""The calibration job: a run of a reference sample in, a lens out.

The run's moments say which pairs follow a concept; how they do so together takes a second pass
over its images.
"""

import json
from contextlib import nullcontext
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from nhd_ops import attention_pool, components
from nhd_ops.candidates import candidates, correlations
from nhd_ops.concepts import concept_pairs
from nhd_ops.contributions import Directions
from nhd_ops.grounded import Grounded
from nhd_ops.grounding import Choice, choose, ground, ladder_of
from nhd_ops.moments import Moments
from pipelines.analyse.same_model import model_of, preprocessing_of
from pipelines.errors import UsageError
from pipelines.extract.job import code_version
from pipelines.io.files import sha256
from pipelines.io.listing import absolute
from pipelines.io.store import Run
from pipelines.io.urls import redact
from pipelines.lens import second_pass
from pipelines.lens.lens import Lens, read_lens, write_lens
from pipelines.lens.plan import CalibratePlan
from pipelines.lens.tables import OfPairs, concept_table, pair_table, words_of
from pipelines.models import text_embeddings
from pipelines.run import lock
from pipelines.run.cluster import ray_session
from pipelines.run.configuration import same_configuration

__all__ = ["CalibratePlan", "calibrate"]

IMAGES_PER_FOLD = 10


def calibrate(plan: CalibratePlan) -> Lens:
    """Make the lens of a run; one that is there, of the same run and choices, is kept.

    Raises UsageError for a run without concepts, with too few images, or whose images are no
    longer what they were, and for a folder that holds another lens; Incomplete if shards failed.
    """
    source, out = Run(absolute(plan.run)), Run(absolute(plan.out))
    if out.exists("run.json"):
        raise UsageError(f"{plan.out} is a run folder; a lens takes a folder of its own as --out")
    made_from = _made_from(plan, source)
    if out.exists("lens.json"):
        lens = read_lens(out.url)
        same_configuration(out.url, lens.info["made_from"], made_from)
        _say(f"{plan.out} is already calibrated")
        return lens
    session = nullcontext() if plan.in_process else ray_session()  # once for all that asks for it
    with session, lock.held(out, _say) as held:
        return _calibrate(plan, source, out, made_from, held)


def _calibrate(
    plan: CalibratePlan, source: Run, out: Run, made_from: dict[str, Any], held: lock.Held
) -> Lens:
    info = source.info
    loaded = model_of(source)
    how = preprocessing_of(source, loaded)
    directions = attention_pool.directions_of(attention_pool.attention_pool_of(loaded.model.visual))
    texts = text_embeddings(loaded, [concept["text"] for concept in info["concepts"]])
    del loaded  # workers have their own
    moments = source.moments()
    r = correlations(moments)
    found = candidates(directions, texts, r, plan.candidates)
    second_pass.begin(out, made_from, found)
    second = second_pass.second_pass(plan, source, out, how, held)
    choice = choose(second, ladder_of(found.pairs.shape[1]))
    grounded = ground(found, second, choice, _deviation(moments))
    about = _info(plan, info, made_from, _chosen(plan, info["concepts"], choice, grounded))
    lens = _lens(about, moments, directions, texts, grounded)
    held.check()
    lens = write_lens(out.url, lens, *_tables(source, lens, r))
    second_pass.end(out)
    return lens


def _made_from(plan: CalibratePlan, source: Run) -> dict[str, Any]:
    """What decides how the lens comes out."""
    info, records = source.info, source.records()
    if not info["concepts"]:
        raise UsageError(f"{plan.run} has no concepts: extract it with --concepts")
    images = sum(record["written"] for record in records)
    if images < plan.folds * IMAGES_PER_FOLD:
        raise UsageError(
            f"{plan.run} holds {images} images, too few to choose pairs on: take a reference "
            f"sample of {plan.folds * IMAGES_PER_FOLD} at least, better of some thousands"
        )
    decisive = ("weights_sha256", "preprocess_id", "dtype", "concepts", "pairs_per_concept", "keep")
    about = [(record["shard"], record["written"], record["finished_at"]) for record in records]
    return {
        **{name: info[name] for name in decisive},
        "images": images,
        "run_sha256": sha256(json.dumps(about).encode()),
        "candidates": plan.candidates,
        "folds": plan.folds,
        "words": _fitted_words(source, images),
    }


def _fitted_words(source: Run, images: int) -> str | None:
    """The dictionary of the run's fit; None where it is not fitted."""
    if not source.exists("fit", "fit.json"):
        return None
    fit = json.loads(source.read("fit", "fit.json"))
    if fit["images"] != images:
        raise UsageError(
            f"{source.url} was fitted on {fit['images']} images and holds {images} now: run nhd "
            "fit again"
        )
    return f"{fit['words']}, {fit['dictionary']}"


def _info(
    plan: CalibratePlan, info: dict[str, Any], made_from: dict[str, Any], chosen: dict[str, Any]
) -> dict[str, Any]:
    same = (
        "model", "pretrained", "checkpoint", "weights_sha256", "preprocess_id", "dtype", "units",
        "concepts", "pairs_per_concept",
    )  # fmt: skip
    return {
        **{name: info[name] for name in same},
        "images": made_from["images"],
        "reference": redact(absolute(plan.run)),
        "code_version": code_version(),
        "grounded": chosen,
        "made_from": made_from,
    }


def _chosen(
    plan: CalibratePlan, concepts: list[dict[str, str]], choice: Choice, grounded: Grounded
) -> dict[str, Any]:
    """How many candidates each concept takes, and what that was decided by."""
    each = []
    for number, concept in enumerate(concepts):
        step, r = int(choice.step[number]), choice.held_out[number].tolist()
        each.append(
            {
                "slug": concept["slug"],
                "k": choice.ladder[step],
                "pairs": int((grounded.weights[number] > 0).sum()),
                "held_out_r": r[step],
                "standard_error": float(choice.error[number, step]),
                "ladder": dict(zip(map(str, choice.ladder), r, strict=True)),
            }
        )
    return {"candidates": plan.candidates, "folds": plan.folds, "concepts": each}


def _lens(
    about: dict[str, Any],
    moments: Moments,
    directions: Directions,
    texts: Tensor,
    grounded: Grounded,
) -> Lens:
    signs = components.signs(moments)
    paper = concept_pairs(directions, texts, about["pairs_per_concept"], signs).pairs
    return Lens(about, moments.pairs.mean.float(), _deviation(moments), signs, paper, grounded)


def _deviation(moments: Moments) -> Tensor:
    return moments.pairs.variance().sqrt().to(torch.float32)


def _tables(source: Run, lens: Lens, r: Tensor) -> tuple[pa.Table, pa.Table]:
    told = OfPairs(lens.signs, words_of(source, lens.signs.numel()))
    concepts = concept_table(lens.info["concepts"], lens.pairs, lens.grounded, r, told)
    return concepts, pair_table(lens.mean, lens.deviation, told)


def _say(text: str) -> None:
    print(text, flush=True)

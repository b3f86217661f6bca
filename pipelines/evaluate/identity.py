"""What an evaluation is about: everything that must not change between two runs of the command."""

import hashlib
import json
from typing import Any

from pipelines.analyse.fit import words_name
from pipelines.errors import UsageError
from pipelines.evaluate.design import Design
from pipelines.evaluate.plan import EvaluatePlan
from pipelines.io.classes import Classes
from pipelines.io.listing import absolute, expand
from pipelines.io.shards import shard_id
from pipelines.io.store import Run
from pipelines.io.urls import redact, without_secrets
from pipelines.io.words import word_list

Shards = dict[str, str]


def classes_name(plan: EvaluatePlan, info: dict[str, Any]) -> str:
    """By default the tiny model's; UsageError for any other model."""
    if plan.classes:
        return plan.classes
    if info["model"] != "tiny":
        raise UsageError(
            "which classes should the images be told apart by? Give --classes: imagenet, names "
            "with commas between them, or a file"
        )
    return "scene-things"


def shards_of(plan: EvaluatePlan, source: Run) -> Shards:
    """Shard id → URL; in order of id, so that results do not depend on how they were given."""
    if plan.data:
        found = {shard_id(url): url for url in expand(plan.data)}
    else:
        found = {record["shard"]: record["url"] for record in source.records()}
    return dict(sorted(found.items()))


def coefficients_of(plan: EvaluatePlan, info: dict[str, Any]) -> str:
    """`dense` where the run's own stored coefficients are read, else `images`."""
    return "dense" if info["keep"] == "dense" and plan.data is None else "images"


def words_of(plan: EvaluatePlan, info: dict[str, Any]) -> list[str]:
    """The dictionary's words, as fit's; none where no codes are asked for."""
    return word_list(words_name(plan.words, info["model"])) if plan.atoms else []


def design_of(plan: EvaluatePlan, info: dict[str, Any], words: list[str]) -> Design:
    """The experiments of a plan, as far as model and dictionary go."""
    units = info["units"]
    most = min(units["width"], len(words))
    return Design(
        heads=units["heads"],
        neurons=units["neurons"],
        head_width=units["neurons"] // units["heads"],
        width=units["width"],
        ranks=plan.ranks,
        fractions=plan.fractions,
        seeds=plan.seeds,
        atoms=tuple(sorted({min(atoms, most) for atoms in plan.atoms})),
    )


def identity_of(
    plan: EvaluatePlan,
    source: Run,
    classes: Classes,
    words: list[str],
    design: Design,
    shards: Shards,
) -> dict[str, Any]:
    """What setup.json holds."""
    info = source.info
    records = [(r["shard"], r["written"], r["finished_at"]) for r in source.records()]
    return {
        "model": info["model"],
        "pretrained": info["pretrained"],
        "weights_sha256": info["weights_sha256"],
        "preprocess_id": info["preprocess_id"],
        "run": redact(absolute(plan.run)),
        "run_images": sum(record[1] for record in records),
        "run_sha256": _digest(records),
        "coefficients": coefficients_of(plan, info),
        "data": redact(plan.data) if plan.data else "the run's own shards",
        "shards": len(shards),
        "shards_sha256": _digest([without_secrets(url) for url in shards.values()]),
        "classes": len(classes),
        "classes_sha256": _digest([classes.names, classes.texts]),
        "truth": plan.truth,
        "words": words_name(plan.words, info["model"]) if words else None,
        "words_sha256": _digest(words) if words else None,
        "design": design.as_json(),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()

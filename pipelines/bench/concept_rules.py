"""The rules by which an image may be scored for a concept, each learned on one set of images.

Source: nhd_ops/README.md, section 6.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops import attention_pool, components
from nhd_ops.candidates import Candidates, candidates, centred_texts, correlations
from nhd_ops.concepts import concept_pairs, measures
from nhd_ops.contributions import Directions
from nhd_ops.grounded import Grounded, scores
from nhd_ops.grounding import Choice, ground
from nhd_ops.second_moments import second_moments_of
from pipelines.extract.again import Dense
from pipelines.io.store import Run
from pipelines.io.stream import Clock
from pipelines.lens.lens import Lens
from pipelines.models import load_model, text_embeddings
from pipelines.tiny.scenes import ATTRIBUTES

SIMILARITY = "similarity of the whole embedding"
PAPER = "the paper's pairs, k = 5, score"
CHOSEN = "grounded, regression, k chosen"
SWEPT = (5, 10, 20, 40)


class Images(NamedTuple):
    """What is known of some scenes."""

    coefficients: Tensor
    """[B,H,C], s."""
    embedding: Tensor
    """[B,D]."""
    truth: Tensor
    """[B,Q] bool: which attributes each scene has."""


class Model(NamedTuple):
    """The tiny model's directions, and the attributes as unit texts [Q,D]."""

    directions: Directions
    texts: Tensor


Rule = Callable[[Images], Tensor]
"""Images → [B,Q]."""


def tiny() -> Model:
    """The model that the rules are tried on."""
    loaded = load_model("tiny")
    pool = attention_pool.attention_pool_of(loaded.model.visual)
    return Model(attention_pool.directions_of(pool), text_embeddings(loaded, list(ATTRIBUTES)))


def images_of(run: Run, model: Model) -> Images:
    """All images of a dense run."""
    source = Dense(run, model.directions.norms())
    found = [
        batch
        for record in run.records()
        for batch in source.batches(
            record["shard"],
            lambda _, fields: [bool(fields[name]) for name in ATTRIBUTES],
            Counter(),
            Clock(),
        )
    ]
    return Images(
        torch.cat([batch.coefficients for batch in found]),
        torch.cat([batch.embedding for batch in found]),
        torch.tensor([told for batch in found for told in batch.told]),
    )


def rules(run: Run, images: Images, lens: Lens, model: Model) -> dict[str, Rule]:
    """All rules, as one set of images teaches them: its run, its images and its lens."""
    directions, texts = model
    moments = run.moments()
    signs, mean = components.signs(moments), lens.mean
    centred = centred_texts(texts)
    found: dict[str, Rule] = {}

    def by_text(name: str, texts: Tensor, k: int) -> None:
        pairs = concept_pairs(directions, texts, k, signs)
        for measure in ("share", "score"):

            def rule(seen: Images, measure: str = measure) -> Tensor:
                values = measures(seen.coefficients, seen.embedding, pairs, texts, mean)
                return values._asdict()[measure]

            found[f"{name}, k = {k}, {measure}"] = rule

    by_text("the paper's pairs", texts, 5)
    by_text("the paper's pairs", texts, 20)
    by_text("texts centred over the concepts", centred, 20)
    found[SIMILARITY] = lambda seen: torch.nn.functional.normalize(seen.embedding, dim=1) @ texts.T
    through = partial(_through, mean=mean, deviation=lens.deviation)
    admitted = candidates(directions, texts, correlations(moments), max(SWEPT))
    for k in (5, 20):
        even = Grounded(admitted.pairs[:, :k], (admitted.r[:, :k] > 0).float())
        found[f"grounded, mean of {k} standardised"] = partial(through, grounded=even)
    for k in SWEPT:
        weighted = _regression(admitted, k, images, lens, texts)
        found[f"grounded, regression, k = {k}"] = partial(through, grounded=weighted)
    found[CHOSEN] = partial(through, grounded=lens.grounded)
    return found


def _through(seen: Images, grounded: Grounded, mean: Tensor, deviation: Tensor) -> Tensor:
    return scores(seen.coefficients, grounded, mean, deviation)


def _regression(
    admitted: Candidates, k: int, images: Images, lens: Lens, texts: Tensor
) -> Grounded:
    """With k candidates for every concept, where a lens chooses."""
    similarity = torch.nn.functional.normalize(images.embedding, dim=1) @ texts.T
    chosen = images.coefficients.flatten(1)[:, admitted.pairs] * (admitted.r > 0)
    values = torch.cat([chosen, similarity[:, :, None]], dim=2)
    second = second_moments_of(values, torch.zeros(len(values), dtype=torch.int64), 1)
    none = torch.zeros(len(texts), 1, dtype=torch.float64)
    choice = Choice((k,), none, none, torch.zeros(len(texts), dtype=torch.int64))
    return ground(admitted, second, choice, lens.deviation)

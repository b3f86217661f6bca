"""From a run's moments to what its units mean: directions, components, sparse codes, exemplars."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from nhd_ops import attention_pool, components
from nhd_ops.contributions import Directions
from nhd_ops.geometry import Geometry, geometry_of
from nhd_ops.moments import Moments
from nhd_ops.sparse_code import omp, prepare_dictionary
from pipelines.analyse import fit_tables as tables
from pipelines.analyse.alike import alike_table, alike_units
from pipelines.analyse.exemplars import exemplar_images
from pipelines.analyse.fit_tables import EXEMPLARS, Dictionary, names
from pipelines.analyse.same_model import model_of
from pipelines.errors import UsageError
from pipelines.io.files import write_json, write_parquet
from pipelines.io.store import Run
from pipelines.io.words import word_list
from pipelines.models import LoadedModel, text_embeddings
from pipelines.run import estimate
from pipelines.run.cluster import parallel

UNIT_COMPONENTS = 4
BLOCK = 8192  # units per Ray task; a single block is done right here
MOST_ATOMS = 64
PROBE = 256  # directions that are coded first, to see how long it takes


@dataclass(frozen=True)
class FitPlan:
    """What to fit: the run, the dictionary (see `pipelines.io.words`), atoms per code."""

    run: str
    words: str | None = None
    atoms: int | None = None
    """0 for no codes; directions are named by their nearest words all the same. By default 64, at
    most an eighth of the embedding's width: longer codes fit anything, and their weights say little
    of any word."""
    templates: bool = False
    normalise: Literal["atom", "reference"] = "atom"
    """How atoms are scaled; see `sparse_code.prepare_dictionary`."""
    fit_on: str = "all"
    in_process: bool = False

    def __post_init__(self) -> None:
        if self.atoms is not None and self.atoms < 0:
            raise UsageError(f"atoms is {self.atoms}, but must not be negative")

    def length(self, dictionary: Dictionary) -> int:
        """How many words a code has."""
        words, width = dictionary.atoms.shape
        return min(min(MOST_ATOMS, width // 8) if self.atoms is None else self.atoms, words)


def fit(plan: FitPlan) -> dict[str, Any]:
    """Fit a run and write `fit/`; return a short description of what was fitted.

    Raises UsageError if the run is empty or the model's weights are not those of the run.
    """
    run = Run(plan.run)
    loaded = model_of(run)
    moments = run.moments()
    directions = attention_pool.directions_of(attention_pool.attention_pool_of(loaded.model.visual))
    dictionary = dictionary_of(loaded, plan)
    del loaded  # a gigabyte, which nothing below needs
    return fit_moments(plan, moments, directions, dictionary)


def fit_moments(
    plan: FitPlan, moments: Moments, directions: Directions, dictionary: Dictionary
) -> dict[str, Any]:
    """`fit` of a run's moments, given its model's directions and the dictionary."""
    run = Run(plan.run)
    info = run.info
    geometry = geometry_of(directions)
    top = components.top_images(moments)
    images = exemplar_images(run, top.ids[:, :EXEMPLARS])
    signs = components.signs(moments, top)
    atoms = plan.length(dictionary)
    codes = (_codes if atoms else _nearest)(directions, signs, dictionary, plan)
    neurons, heads = _neurons(moments, geometry, plan), _heads(moments, geometry, plan)
    words = names(codes.nearest, dictionary)
    written = {
        "exemplars": tables.exemplar_table(top, moments, geometry, images),
        "neurons": tables.unit_table("neuron", neurons, dictionary),
        "heads": tables.unit_table("head", heads, dictionary),
        "pairs": tables.pair_table(moments, geometry, signs, words, top, images, info["labels"]),
        "polysemanticity": alike_table(alike_units(run, moments, geometry)),
    }
    if atoms:
        written["codes"] = tables.code_table(codes.indices, codes.coefficients, dictionary)
    else:
        run.delete("fit", "codes.parquet")  # of an earlier fit with other signs, perhaps
    run.write_moments("fit/moments.safetensors", moments, {"records": []})
    for name, table in written.items():
        write_parquet(run.at("fit", f"{name}.parquet"), table, {"nhd": info})
    summary = _summary(plan, moments, dictionary, signs)
    write_json(run.at("fit", "fit.json"), summary)
    return summary


def dictionary_of(loaded: LoadedModel, plan: FitPlan) -> Dictionary:
    """The words of a plan, or by default the model's own, embedded by the model."""
    words = word_list(words_name(plan.words, loaded.spec.name))
    embeddings = text_embeddings(loaded, words, templates=plan.templates)
    return Dictionary(words, prepare_dictionary(embeddings, normalise=plan.normalise))


def words_name(asked: str | None, model: str) -> str:
    """The word list that is asked for, or by default a model's own."""
    return asked or ("scenes" if model == "tiny" else "common:10000")


class Codes(NamedTuple):
    """What the dictionary says of P signed directions."""

    indices: Tensor
    """[P,m] words of the sparse code in order of selection, -1 where unused."""
    coefficients: Tensor
    """[P,m]"""
    nearest: Tensor
    """[P,WORDS_SHOWN] words of largest cosine, which name the direction."""


def _codes(directions: Directions, signs: Tensor, dictionary: Dictionary, plan: FitPlan) -> Codes:
    """The first PROBE directions are coded right here, and tell how long the others will take."""
    probe, rest = torch.arange(directions.pairs).tensor_split([PROBE])
    blocks = [block for block in torch.split(rest, BLOCK) if len(block)]
    atoms = plan.length(dictionary)
    shared = (directions, signs, dictionary.atoms, atoms)
    alone = plan.in_process or len(blocks) < 2
    # A Ray task has one thread.
    first, spent = estimate.timed(lambda: _code_block(shared, probe), None if alone else 1)

    def say(workers: int) -> None:
        left = estimate.seconds([len(block) for block in blocks], spent / len(probe), workers)
        what = f"codes: {directions.pairs} directions x {len(dictionary.words)} words"
        print(f"{what}, {estimate.about(left)}", flush=True)

    found = [first, *parallel(_code_block, blocks, shared, plan.in_process, say)]
    return Codes(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _code_block(shared: tuple[Directions, Tensor, Tensor, int], pairs: Tensor) -> Codes:
    directions, signs, atoms, count = shared
    vectors = components.pair_components(directions, pairs, signs)
    code = omp(vectors, atoms, count)
    return Codes(code.indices, code.coefficients, tables.nearest_words(vectors, atoms))


def _nearest(directions: Directions, signs: Tensor, dictionary: Dictionary, plan: FitPlan) -> Codes:
    """As `_codes`, with empty codes; takes seconds, so needs no Ray."""
    nearest = tables.nearest_words_of_pairs(directions, signs, dictionary.atoms)
    none = nearest[:, :0]
    return Codes(none, none.float(), nearest)


def _neurons(
    moments: Moments, geometry: Geometry, plan: FitPlan
) -> tuple[Tensor, components.Components]:
    _, covariance = components.fitted_moments(moments.neurons, plan.fit_on)  # type: ignore[arg-type]
    blocks = list(torch.split(torch.arange(len(covariance)), BLOCK))
    k = min(UNIT_COMPONENTS, covariance.shape[-1])
    shared = (covariance, geometry.neuron_gram, k)
    found = parallel(_component_block, blocks, shared, plan.in_process)
    weights, ratios = (torch.cat(parts) for parts in zip(*found, strict=True))
    every = torch.arange(len(covariance))
    vectors = torch.cat(
        [
            components.neuron_directions(geometry.directions, block, weights[block])
            for block in torch.split(every, 256)
        ]
    )
    return vectors, components.Components(weights, ratios)


def _component_block(shared: tuple[Tensor, Tensor, int], units: Tensor) -> components.Components:
    covariance, gram, k = shared
    return components.unit_components(covariance[units], gram[units], k)


def _heads(
    moments: Moments, geometry: Geometry, plan: FitPlan
) -> tuple[Tensor, components.Components]:
    _, covariance = components.fitted_moments(moments.heads, plan.fit_on)  # type: ignore[arg-type]
    k = min(UNIT_COMPONENTS, covariance.shape[-1])
    found = components.head_components(covariance, geometry.head_gram, k)
    return components.head_directions(geometry.directions, found.weights), found


def _summary(
    plan: FitPlan, moments: Moments, dictionary: Dictionary, signs: Tensor
) -> dict[str, Any]:
    return {
        "images": moments.count,
        "pairs": signs.numel(),
        "pairs_of_negative_sign": int((signs < 0).sum()),
        "words": plan.words or "default",
        "dictionary": len(dictionary.words),
        "atoms": plan.length(dictionary),
        "normalise": plan.normalise,
        "fit_on": plan.fit_on,
        "exemplars": EXEMPLARS,
    }

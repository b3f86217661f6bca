"""How every neuron-head pair differs between two sides, and which pairs are behind a concept."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from nhd_ops import histogram
from nhd_ops.clusters import Design
from nhd_ops.pair_moments import PairMoments
from nhd_ops.shift import Summary, dependent, false_discovery
from nhd_ops.skewed import careful_shift
from pipelines.analyse.attribution import Criteria
from pipelines.analyse.followed import Comoments, closest, comoments, correlation
from pipelines.analyse.sides import Concept, Side, Sides
from pipelines.lens.known_pairs import pairs_of_lens

SHORTLIST = 1000
"""For how many of the largest shifts the distances of distributions are computed."""
BEHIND = 6
LEAST_CORRELATION = 0.3
"""A pair stands behind a concept only if it follows the concept at least this closely."""


def pair_shifts(
    sides: Sides, criteria: Criteria, designs: tuple[Design, Design] | None = None
) -> pd.DataFrame | None:
    """One row per pair, largest |d| first; None where a side kept no moments of its own.

    Effects are oriented by the sign that `nhd fit` or the lens gave the pair (+1 without either),
    so that "up" means more of what the words say. Moments are not kept by cluster: where images
    depend on each other, `designs` says per side by how much. Moments cannot be permuted, so p is
    the larger of Welch's and Student's (`nhd_ops.skewed`).
    """
    one, other = sides.baseline.pairs, sides.current.pairs
    if one is None or other is None:
        return None
    neurons = one.mean.shape[1]
    fit = fitted(sides, one.mean.numel())
    table = pd.DataFrame({"pair": np.arange(one.mean.numel(), dtype=np.int32)})
    table["head"], table["neuron"] = table["pair"] // neurons, table["pair"] % neurons
    table["sign"], table["words"] = fit["sign"], fit["words"]
    table["baseline_mean"], table["current_mean"] = _flat(one.mean), _flat(other.mean)
    _add_followed(table, sides)
    _add_effects(table, (_summary(one), _summary(other)), designs, criteria)
    table = table.iloc[np.argsort(-table["effect"].abs().to_numpy(), kind="stable")]
    table = table.reset_index(drop=True)
    _add_distances(table, one, other)
    return table


def fitted(sides: Sides, pairs: int) -> pd.DataFrame:
    """Sign and words of every pair from the fit of either run, else from the lens of either.

    +1 and "" where there is neither, or where the lens cannot be read any more.
    """
    plain = pd.DataFrame({"sign": np.ones(pairs, np.int8), "words": [""] * pairs})
    if (found := _known(sides)) is not None:
        table = found.to_pandas().set_index("pair").reindex(np.arange(pairs))
        plain["sign"] = table["sign"].fillna(1).to_numpy(np.int8)
        plain["words"] = [_words(value) for value in table["words"]]
    return plain


def _known(sides: Sides) -> pa.Table | None:
    both = (sides.baseline, sides.current)
    for side in both:
        if side.run.exists("fit", "pairs.parquet"):
            return pq.read_table(io.BytesIO(side.run.read("fit", "pairs.parquet")))
    return next((t for side in both if (t := pairs_of_lens(side.info)) is not None), None)


def correlations(sides: Sides, concept: Concept) -> np.ndarray:
    """[H·C]: how closely every pair's coefficient follows the similarity to one concept.

    Within the sides (their difference does not enter), from the exact co-moments.
    """
    runs = {side.run.url: side for side in (sides.baseline, sides.current)}
    parts = [_comoments(side, concept) for side in runs.values()]
    return correlation(*(sum(column, np.zeros(1)) for column in zip(*parts, strict=True)))


def _comoments(side: Side, concept: Concept) -> Comoments:
    index = [c["slug"] for c in side.info["concepts"]].index(concept.slug)
    return comoments(side.moments, index)


def behind(
    sides: Sides, table: pd.DataFrame, concept: Concept, direction: float
) -> list[dict[str, Any]]:
    """The shifted pairs that follow a shifted concept and moved as it did, strongest first."""
    r = correlations(sides, concept)[table["pair"]] * table["sign"].to_numpy()
    carried = r * table["effect"].to_numpy() * np.sign(direction)
    fits = table["shifted"].to_numpy() & (np.abs(r) >= LEAST_CORRELATION) & (carried > 0)
    best = np.argsort(-np.where(fits, carried, 0), kind="stable")[:BEHIND]
    fields = ["pair", "head", "neuron", "words", "effect", "low", "high"]
    return [
        {**table.loc[row, fields].to_dict(), "correlation": float(r[row])}
        for row in best
        if fits[row]
    ]


def _add_followed(table: pd.DataFrame, sides: Sides) -> None:
    """The concept that each pair's coefficient follows most closely, and the correlation."""
    best, where = closest((correlations(sides, concept) for concept in sides.concepts), len(table))
    table["concept"] = np.array([c.text for c in sides.concepts], object)[where]
    table["concept_r"] = best * table["sign"].to_numpy()


def _add_effects(
    table: pd.DataFrame,
    sides: tuple[Summary, Summary],
    designs: tuple[Design, Design] | None,
    criteria: Criteria,
) -> None:
    one, other = sides if designs is None else map(dependent, sides, designs)
    found = careful_shift(one, other)
    sign = table["sign"].to_numpy()
    table["effect"] = found.effect * sign
    table["low"] = np.where(sign > 0, found.low, -found.high)
    table["high"] = np.where(sign > 0, found.high, -found.low)
    table["p"], table["q"] = found.p, false_discovery(found.p)
    table["direction"] = np.where(table["effect"] >= 0, "up", "down")
    table["shifted"] = criteria.passes(table["effect"].to_numpy(), table["q"].to_numpy())


def _add_distances(table: pd.DataFrame, one: PairMoments, other: PairMoments) -> None:
    """PSI, KS and Wasserstein distance of s·‖u‖ for the shortlisted; NaN for the rest."""
    rows = np.flatnonzero(table["shifted"])[:SHORTLIST]
    chosen = torch.from_numpy(table["pair"].to_numpy()[rows].astype(np.int64))
    a, b = (m.histogram.flatten(0, 1)[chosen] for m in (one, other))
    for name in ("psi", "ks", "wasserstein"):
        values = np.full(len(table), np.nan)
        values[rows] = getattr(histogram, name)(a, b).numpy()
        table[name] = values


def _summary(moments: PairMoments) -> Summary:
    variance = _flat(moments.m2) / (moments.count - 1)
    return Summary(float(moments.count), _flat(moments.mean), variance)


def _flat(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.flatten().double().numpy()
    return array


def _words(value: Any) -> str:
    if value is None or isinstance(value, float):
        return ""
    return value if isinstance(value, str) else ", ".join(str(word) for word in list(value)[:5])

"""What a lens holds, as tables to be queried: its concept pairs by both rules, and all pairs."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from nhd_ops.grounded import Grounded
from pipelines.io.store import Run


class OfPairs(NamedTuple):
    """What is told of each pair."""

    signs: Tensor
    """[H,C]; the words are those of sign·u."""
    words: pa.Array
    """H·C texts."""


def words_of(run: Run, pairs: int) -> pa.Array:
    """The words of each pair in one text, best first; empty where the run is not fitted."""
    if not run.exists("fit", "pairs.parquet"):
        return pa.array([""] * pairs, pa.string())
    words = run.table("fit/pairs.parquet", ["words"])["words"].combine_chunks()
    return pc.binary_join(words, ", ")


def pair_table(mean: Tensor, deviation: Tensor, told: OfPairs) -> pa.Table:
    """One row per pair; everything [H,C]."""
    heads, neurons = mean.shape
    return pa.table(
        {
            **_places(np.arange(heads * neurons), neurons),
            "sign": told.signs.flatten().to(torch.int32).numpy(),
            "mean": mean.flatten().float().numpy(),
            "std": deviation.flatten().float().numpy(),
            "words": told.words,
        }
    )


def concept_table(
    concepts: list[dict[str, str]], paper: Tensor, grounded: Grounded, r: Tensor, told: OfPairs
) -> pa.Table:
    """One row per concept, rule and pair, with r, its correlation with the similarity.

    Args:
        paper: [Q,k], which have no weight.
        r: [Q,H,C].
    """
    each = []
    for number, concept in enumerate(concepts):
        used = grounded.weights[number] > 0
        weights = grounded.weights[number][used]
        each.append(_rows(concept, "paper", paper[number], None, r[number], told))
        pairs = grounded.pairs[number][used]
        each.append(_rows(concept, "grounded", pairs, weights, r[number], told))
    return pa.concat_tables(each)


def _rows(
    concept: dict[str, str],
    rule: str,
    pairs: Tensor,
    weights: Tensor | None,
    r: Tensor,
    told: OfPairs,
) -> pa.Table:
    count = len(pairs)
    none = pa.nulls(count, pa.float32())
    return pa.table(
        {
            "concept": pa.array([concept["text"]] * count, pa.string()),
            "slug": pa.array([concept["slug"]] * count, pa.string()),
            "rule": pa.array([rule] * count, pa.string()),
            "rank": np.arange(count, dtype=np.int32),
            **_places(pairs.numpy(), r.shape[-1]),
            "weight": none if weights is None else pa.array(weights.float().numpy()),
            "r": r.flatten()[pairs].float().numpy(),
            "sign": told.signs.flatten()[pairs].to(torch.int32).numpy(),
            "words": told.words.take(pa.array(pairs.numpy())),
        }
    )


def _places(pairs: np.ndarray, neurons: int) -> dict[str, np.ndarray]:
    head, neuron = np.divmod(pairs.astype(np.int32), np.int32(neurons))
    return {"pair": pairs.astype(np.int32), "head": head, "neuron": neuron}

"""A concept: the images it scores highest on, and each of its pairs."""

import hashlib
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nhd_ops import concepts
from nhd_ops.spatial_maps import spatial_maps
from pipelines.errors import UsageError
from pipelines.explain.fitted import Fitted
from pipelines.explain.rows import (
    EXEMPLARS,
    Exemplar,
    Look,
    Row,
    Sheet,
    pair_exemplars,
    pair_facts,
    pair_look,
    strength,
)
from pipelines.models import check_words, text_embeddings

LONGEST = 60  # characters of a text in a file's name


def concept_sheet(fitted: Fitted, text: str) -> Sheet:
    """The concept's pairs, chosen by text with the fitted signs, as many as the run took.

    Raises UsageError if the text is empty or has words that the model does not know.
    """
    if not text.strip():
        raise UsageError("the concept is empty: give a text, as in --concept 'a yellow car'")
    check_words(fitted.loaded, [text])
    embedding = text_embeddings(fitted.loaded, [text])  # [1,D]
    k = fitted.info["pairs_per_concept"]
    chosen = concepts.concept_pairs(fitted.directions, embedding, k, fitted.signs)
    pairs = chosen.pairs[0]
    alignment = (fitted.signed(pairs) @ embedding[0]).tolist()
    measure, shown = _strongest(fitted, text, embedding[0])
    found = {"concept": text, "pairs": pairs.tolist(), "ranked_by": measure}
    top = Row(
        f"'{text}'",
        (f"images of largest {measure}", f"maps of its {k} pairs together"),
        {"ranked_by": measure},
        shown,
        _together(fitted, pairs, chosen.projection[0]),
    )
    both = zip(pairs.tolist(), alignment, strict=True)
    return Sheet(
        _name(text),
        f"The concept '{text}' and its pairs",
        "The pairs whose signed directions point most at the text; alignment is their cosine. "
        f"The numbers of the first row are {'scores' if measure == 'score' else 'similarities'}.",
        found,
        (top, *(_pair_row(fitted, pair, cosine) for pair, cosine in both)),
    )


def _name(text: str) -> str:
    """Of its files; where the text's words alone will not do, with some digits of its hash."""
    name = re.sub(r"\W+", "-", text.lower()).strip("-")
    if not 0 < len(name) <= LONGEST:
        digits = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = f"{name[:LONGEST]}-{digits}".strip("-")
    return f"concept-{name}"


def _pair_row(fitted: Fitted, pair: int, alignment: float) -> Row:
    found = {"alignment": alignment, **pair_facts(fitted, pair)}
    return Row(
        f"head {found['head']}, neuron {found['neuron']}",
        (", ".join(found["words"]), f"alignment {alignment:.2f}", *strength(found)),
        found,
        pair_exemplars(fitted, pair),
        pair_look(fitted, pair),
    )


def _together(fitted: Fitted, pairs: Tensor, projection: Tensor) -> Look:
    """Maps of ⟨Σ s u, t⟩ over the pairs, given ⟨u, t⟩ of each."""
    return lambda features: spatial_maps(fitted.pool, features, pairs).combined(projection)


def _strongest(fitted: Fitted, text: str, embedding: Tensor) -> tuple[str, tuple[Exemplar, ...]]:
    """The images of largest score if the run has scored the concept, else of similarity."""
    slugs = {concept["text"]: concept["slug"] for concept in fitted.info["concepts"]}
    if text in slugs:
        column = f"score_{slugs[text]}"
        return "score", _best(fitted, column, lambda table: table[column].to_numpy())
    return "similarity", _best(fitted, "embedding", lambda table: _cosines(table, embedding))


def _best(fitted: Fitted, column: str, values: Any) -> tuple[Exemplar, ...]:
    """One shard's file at a time."""
    best: list[Exemplar] = []
    for record in fitted.run.records():
        if record["written"] == 0:
            continue
        table = fitted.run.table(f"images/{record['shard']}.parquet", ["key", column])
        found = np.asarray(values(table))
        rows = np.argsort(-found, kind="stable")[:EXEMPLARS]
        keys = table["key"].take(rows).to_pylist()
        best += [
            Exemplar(record["shard"], k, float(found[r])) for k, r in zip(keys, rows, strict=True)
        ]
        best = sorted(best, key=lambda e: -e.coefficient)[:EXEMPLARS]
    return tuple(best)


def _cosines(table: Any, embedding: Tensor) -> np.ndarray:
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = torch.from_numpy(flat.reshape(len(table), -1).copy())
    cosines: np.ndarray = (torch.nn.functional.normalize(vectors, dim=1) @ embedding).numpy()
    return cosines

"""The neurons that their heads split most clearly into sub-concepts."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nhd_ops import components, sub_concepts
from pipelines.analyse.exemplars import exemplar_images
from pipelines.explain.fitted import Fitted
from pipelines.explain.neuron import HEADS
from pipelines.explain.rows import EXEMPLARS
from pipelines.models import text_embeddings

NEURONS_AT_ONCE = 256
BACKGROUND = 1000  # words whose mean is taken off before words are compared


class Found(NamedTuple):
    """All neurons, as `sub_concepts` sees them."""

    strong: sub_concepts.StrongHeads
    cases: sub_concepts.Cases
    overlap: Tensor
    """[C], the mean Jaccard index of the heads' exemplars."""

    def order(self) -> list[int]:
        """Neurons, the clearest case first; the lower one in a tie."""
        return self.cases.score.argsort(descending=True, stable=True).tolist()


def search(fitted: Fitted) -> Found:
    """Score every neuron of the run by the HEADS strongest of its heads that have a positive sign.

    A head of negative sign singles out the images on which the neuron is quiet: that may be a clean
    group, but nothing in it is what the neuron stands for, and there is nothing to point at.
    Embeddings are compared less their mean over all exemplars: CLIP's all point much the same way.
    """
    upwards = fitted.shares() * (fitted.signs.T > 0)  # [C,H]
    strong = sub_concepts.strong_heads(upwards, HEADS)
    neurons = fitted.directions.neurons
    pairs = strong.heads * neurons + torch.arange(neurons)[:, None]  # [C,k]
    ids = components.top_images(fitted.moments, EXEMPLARS).ids[pairs]  # [C,k,n]
    images = exemplar_images(fitted.run, ids.flatten())
    places = torch.from_numpy(images.places(ids.flatten())).view(ids.shape)
    centred = images.embeddings - images.embeddings.mean(0)
    blocks = [
        sub_concepts.cases(
            strong.shares[block],
            fitted.signed(pairs[block].flatten()).unflatten(0, pairs[block].shape),
            centred[places[block]],
        )
        for block in torch.split(torch.arange(neurons), NEURONS_AT_ONCE)
    ]
    cases = sub_concepts.Cases(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))
    return Found(strong, cases, sub_concepts.overlap(ids))


def case_table(fitted: Fitted, found: Found) -> pa.Table:
    """One row per neuron, the clearest case first."""
    order = found.order()
    named = fitted.pairs["words"].to_numpy()
    neurons = fitted.directions.neurons
    heads = found.strong.heads[order]
    pairs = heads * neurons + torch.tensor(order)[:, None]
    lists: dict[str, Tensor] = {
        "heads": heads.int(),
        "shares": found.strong.shares[order].float(),
        "image_coherence": found.cases.coherence[order].float(),
        "words_fit_images": found.cases.fit[order].float(),
    }
    return pa.table(
        {
            "neuron": pa.array(order, pa.int32()),
            "score": found.cases.score[order].double().numpy(),
            **{name: pa.array(values.tolist()) for name, values in lists.items()},
            "words": pa.array([[list(named[p]) for p in row] for row in pairs.tolist()]),
            "word_cosine": _between(found.cases.word_cosine[order]),
            "image_cosine": _between(found.cases.image_cosine[order]),
            "exemplar_overlap": found.overlap[order].double().numpy(),
        }
    )


def best_cases(fitted: Fitted, table: pa.Table, count: int) -> list[dict[str, Any]]:
    """The first rows of the table, each with the coherence of its heads' words."""
    rows: list[dict[str, Any]] = table.slice(0, count).to_pylist()
    for row, coherence in zip(rows, _word_coherence(fitted, rows), strict=True):
        row["word_coherence"] = coherence
    return rows


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """The table for the terminal."""
    return [
        f"{'neuron':>6}  {'score':>6}  {'overlap':>7}  heads (share): words",
        *(
            f"{row['neuron']:>6}  {row['score']:>6.3f}  {row['exemplar_overlap']:>7.2f}  "
            + "; ".join(map(_head, row["heads"], row["shares"], row["words"]))
            for row in rows
        ),
    ]


def _head(head: int, share: float, names: list[str]) -> str:
    return f"{head} ({share:.0%}): {', '.join(names[:2])}"


def _between(cosines: Tensor) -> np.ndarray:
    """The mean over different heads: [C,k,k] → [C]; NaN for one head."""
    k = cosines.shape[-1]
    whole = cosines.double().sum((-2, -1)) - cosines.double().diagonal(dim1=-2, dim2=-1).sum(-1)
    mean: np.ndarray = (whole / (k * (k - 1)) if k > 1 else whole * torch.nan).numpy()
    return mean


def _word_coherence(fitted: Fitted, rows: list[dict[str, Any]]) -> list[list[float]]:
    """The mean cosine of each head's words, embedded bare, less the mean of other words."""
    known = sorted({str(word) for names in fitted.pairs["words"] for word in names})
    chosen = np.random.default_rng(0).permutation(len(known))[:BACKGROUND]
    middle = text_embeddings(fitted.loaded, [known[i] for i in chosen], templates=False).mean(0)
    return [[_alike(fitted, names, middle) for names in row["words"]] for row in rows]


def _alike(fitted: Fitted, names: list[str], middle: Tensor) -> float:
    embeddings = text_embeddings(fitted.loaded, names, templates=False) - middle
    unit = torch.nn.functional.normalize(embeddings, dim=1)
    n = len(names)
    return float(((unit @ unit.T).sum() - n) / (n * (n - 1)))

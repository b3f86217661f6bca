"""The neurons that their heads split most clearly into sub-concepts."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nhd_ops import components, sub_concepts
from pipelines.analyse.exemplars import exemplar_images
from pipelines.errors import UsageError
from pipelines.explain.fitted import Fitted
from pipelines.explain.neuron import HEADS
from pipelines.explain.rows import EXEMPLARS
from pipelines.models import text_embeddings

NEURONS_AT_ONCE = 256
FEWEST = 2 * EXEMPLARS  # images, or no two heads could have exemplars of their own
BACKGROUND = 1000  # words whose mean is taken off before words are compared


class Found(NamedTuple):
    """All neurons, as `sub_concepts` sees them."""

    strong: sub_concepts.StrongHeads
    cases: sub_concepts.Cases
    overlap: Tensor
    """[C,k,k], the Jaccard index of the heads' exemplars."""

    def used(self) -> Tensor:
        """[C,k] bool: heads that have a share; a neuron may have fewer than k of positive sign."""
        return self.strong.shares > 0

    def order(self) -> list[int]:
        """Neurons, the clearest case first; the lower one in a tie."""
        return self.cases.score.argsort(descending=True, stable=True).tolist()


def search(fitted: Fitted) -> Found:
    """Score every neuron of the run by the HEADS strongest of its heads that have a positive sign.

    A head of negative sign singles out the images on which the neuron is quiet: that may be a clean
    group, but nothing in it is what the neuron stands for, and there is nothing to point at.
    Embeddings are compared less their mean over all exemplars: CLIP's all point much the same way.

    Raises UsageError for a run of fewer than FEWEST images.
    """
    if fitted.moments.count < FEWEST:
        raise UsageError(
            f"{fitted.run.url} holds {fitted.moments.count} images: too few to tell sub-concepts, "
            f"extract at least {FEWEST}"
        )
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
    """One row per neuron, the clearest case first; what is of two heads, as its mean."""
    order = found.order()
    used, neurons = found.used()[order], fitted.directions.neurons
    pairs = found.strong.heads[order] * neurons + torch.tensor(order)[:, None]  # [C,k]
    named = fitted.pairs["words"].to_numpy()
    cases = found.cases
    of_heads: dict[str, Tensor] = {
        "heads": found.strong.heads[order].int(),
        "shares": found.strong.shares[order].float(),
        "image_coherence": cases.coherence[order].float(),
        "words_fit_images": cases.fit[order].float(),
    }
    words = [[list(named[pair]) for pair in row] for row in _kept(pairs, used)]
    return pa.table(
        {
            "neuron": pa.array(order, pa.int32()),
            "score": cases.score[order].double().numpy(),
            **{name: pa.array(_kept(values, used)) for name, values in of_heads.items()},
            "words": pa.array(words, pa.list_(pa.list_(pa.string()))),
            "word_cosine": _between(cases.word_cosine[order], used),
            "image_cosine": _between(cases.image_cosine[order], used),
            "exemplar_overlap": _between(found.overlap[order], used),
        }
    )


def _kept(values: Tensor, used: Tensor) -> list[list[Any]]:
    """The entries of each row that are used: [C,k], [C,k] → C lists."""
    return [row[keep].tolist() for row, keep in zip(values, used, strict=True)]


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


def _between(values: Tensor, used: Tensor) -> np.ndarray:
    """The mean over any two different used heads: [C,k,k], [C,k] → [C]; NaN where there is one."""
    both = used[:, :, None] & used[:, None, :] & ~torch.eye(used.shape[1], dtype=torch.bool)
    mean: np.ndarray = ((values * both).sum((1, 2)) / both.sum((1, 2))).double().numpy()
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

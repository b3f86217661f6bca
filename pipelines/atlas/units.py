"""Which pairs and neurons an atlas shows: the most important, and those it showed before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nhd_ops.sub_concepts import strong_heads
from pipelines.atlas.plan import AtlasPlan
from pipelines.errors import UsageError
from pipelines.explain.fitted import Fitted
from pipelines.explain.neuron import HEADS


@dataclass(frozen=True, eq=False)
class Units:
    """What has a page, and how all units of the run are ordered."""

    pairs: list[int]
    """Ascending."""
    neurons: list[int]
    """Ascending."""
    heads: np.ndarray
    """[C,k], the heads of largest share of each neuron, largest first."""
    shares: np.ndarray
    """[C,H], each head's part of its neuron's variance."""
    importance: np.ndarray
    """[C], of neurons: the sum over their heads' pairs."""
    pair_ranks: np.ndarray
    """[H·C] by importance, from 1; the lower pair first in a tie."""
    neuron_ranks: np.ndarray
    """[C]."""


def units_of(fitted: Fitted, plan: AtlasPlan, earlier: dict[str, Any] | None) -> Units:
    """The most important pairs and neurons, the neurons' strongest heads, and all of `earlier`.

    `earlier` is the atlas.json that the folder has. Raises UsageError where it is of other weights.
    """
    before = _before(earlier, fitted, plan.out)
    shares = fitted.shares()
    heads = strong_heads(shares, HEADS).heads.numpy()
    by_pair = fitted.pairs["importance"].to_numpy(np.float64)
    by_neuron = by_pair.reshape(fitted.directions.heads, -1).sum(0)
    pair_ranks, neuron_ranks = ranks(by_pair), ranks(by_neuron)
    neurons = np.union1d(np.flatnonzero(neuron_ranks <= plan.neurons), before["neurons"])
    of_heads = (heads[neurons] * len(by_neuron) + neurons[:, None]).ravel()
    pairs = np.union1d(np.flatnonzero(pair_ranks <= plan.pairs), [*of_heads, *before["pairs"]])
    return Units(
        pairs.astype(int).tolist(),
        neurons.astype(int).tolist(),
        heads,
        shares.numpy(),
        by_neuron,
        pair_ranks,
        neuron_ranks,
    )


def ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value, the largest first, from 1; what is NaN comes last."""
    found = np.empty(len(values), np.int64)
    found[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return found


def pairs_of(units: Units) -> torch.Tensor:
    """The pairs with a page: [P] int64."""
    return torch.tensor(units.pairs, dtype=torch.int64)


def _before(earlier: dict[str, Any] | None, fitted: Fitted, out: str) -> dict[str, np.ndarray]:
    found = earlier or {"units": {"pairs": [], "neurons": []}}
    weights = fitted.info["weights_sha256"]
    if earlier is not None and earlier["weights_sha256"] != weights:
        raise UsageError(
            f"{out} holds the atlas of a model of other weights, whose pages would be lost; choose "
            "another --out"
        )
    return {kind: np.array(ids, np.int64) for kind, ids in found["units"].items()}

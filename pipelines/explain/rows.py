"""What a sheet shows, before any image is read: rows of exemplars with their facts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nhd_ops import extremes
from nhd_ops.spatial_maps import SpatialMaps, spatial_maps
from pipelines.analyse.exemplars import names_of
from pipelines.explain.fitted import Fitted

EXEMPLARS = 10
WORDS = 5

Look = Callable[[Tensor], SpatialMaps]
"""Features [B,C,g,g] → maps [B,1,g,g], whose totals are the exemplars' coefficients."""


@dataclass(frozen=True)
class Exemplar:
    """An image by its place in the shards, and the signed number it was chosen by."""

    shard: str
    key: str
    coefficient: float


@dataclass(frozen=True, eq=False)
class Row:
    """One row of pictures."""

    title: str
    lines: tuple[str, ...]
    """What is written beside the pictures, under the title."""
    facts: dict[str, Any]
    """What the JSON says beside the exemplars."""
    exemplars: tuple[Exemplar, ...]
    look: Look


@dataclass(frozen=True, eq=False)
class Sheet:
    """One explanation: a picture and a JSON of the same name."""

    name: str
    title: str
    lead: str
    facts: dict[str, Any]
    rows: tuple[Row, ...]


def exemplars(
    found: tuple[Tensor, Tensor], names: dict[int, tuple[str, str]]
) -> list[tuple[Exemplar, ...]]:
    """The extremes [U,k] of U units, given the names of the images."""
    return [
        tuple(Exemplar(*names[i], value) for value, i in zip(row, ids, strict=True) if i >= 0)
        for row, ids in zip(found[0].tolist(), found[1].tolist(), strict=True)
    ]


def own_exemplars(fitted: Fitted, found: tuple[Tensor, Tensor]) -> tuple[Exemplar, ...]:
    """`exemplars` of one unit."""
    return exemplars(found, names_of(fitted.run, found[1]))[0]


def pair_extremes(fitted: Fitted, pairs: Tensor, side: int, k: int) -> tuple[Tensor, Tensor]:
    """The images of the k largest s (side +1) or smallest (-1): s·‖u‖ and row numbers, [P,k].

    NaN and -1 where a run has fewer images.
    """
    keys = (fitted.moments.largest if side > 0 else fitted.moments.smallest)[pairs, :k]
    values, ids = extremes.unpack(keys)
    norms = torch.tensor(fitted.pairs["direction_norm"].to_numpy())[pairs]
    return values * side * norms[:, None], ids


def neuron_extremes(fitted: Fitted, neurons: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The images of the k largest norms of neurons' contributions, as `pair_extremes`."""
    return extremes.unpack(fitted.moments.neurons.keys[neurons, :k])


def pair_exemplars(fitted: Fitted, pair: int) -> tuple[Exemplar, ...]:
    """The images a pair deviates most on, with s·‖u‖, as fit/exemplars.parquet lists them."""
    each = len(fitted.exemplars) // len(fitted.pairs)
    rows = fitted.exemplars.slice(pair * each, min(each, EXEMPLARS)).to_pylist()
    return tuple(Exemplar(row["shard"], row["key"], row["coefficient"]) for row in rows)


def pair_look(fitted: Fitted, pair: int) -> Look:
    """Maps of s·‖u‖ of one pair."""
    chosen = torch.tensor([pair])
    norm = torch.tensor([fitted.pairs["direction_norm"][pair]])
    return lambda features: spatial_maps(fitted.pool, features, chosen).combined(norm)


def pair_facts(fitted: Fitted, pair: int) -> dict[str, Any]:
    """What the fit's table says of a pair, apart from its labels."""
    row = fitted.pairs.iloc[pair]
    return {
        "pair": pair,
        "head": int(row["head"]),
        "neuron": int(row["neuron"]),
        **facts(row, ("sign", "direction_norm", "mean", "std", "importance")),
        **facts(row, ("inertia", "clarity", "polysemanticity")),
        "words": words(row),
    }


def facts(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Those of the named columns that the table has and that are known, as JSON holds them."""
    found = {name: row[name] for name in names if name in row.index and pd.notna(row[name])}
    return {name: v.item() if isinstance(v, np.generic) else v for name, v in found.items()}


def words(row: Any) -> list[str]:
    """The words of a fitted unit, nearest first."""
    return [str(word) for word in row["words"][:WORDS]]


def strength(found: dict[str, Any]) -> tuple[str, ...]:
    """Importance, inertia and a negative sign, where they are known."""
    parts = [f"importance {found['importance']:.3g}"] if "importance" in found else []
    parts += [f"inertia {found['inertia']:.2f}"] if "inertia" in found else []
    below = ("sign −: deviates downwards",) if found.get("sign") == -1 else ()
    return (", ".join(parts), *below)

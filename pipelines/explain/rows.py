"""What a sheet shows, before any image is read: rows of exemplars with their facts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nhd_ops.spatial_maps import SpatialMaps, spatial_maps
from pipelines.analyse.exemplars import exemplar_images
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


def exemplars(fitted: Fitted, ids: Tensor, values: Tensor) -> tuple[Exemplar, ...]:
    """Images by row number [n], with their numbers [n]."""
    images = exemplar_images(fitted.run, ids)
    return tuple(
        Exemplar(images.shards[place], images.keys[place], float(value))
        for place, value in zip(images.places(ids), values, strict=True)
    )


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
    """Those of the named columns that the table has, as JSON holds them."""
    found = {name: row[name] for name in names if name in row.index}
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

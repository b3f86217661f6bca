"""The rows of exemplars of every unit of an atlas, and the same by shard, to be read once."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np
import torch

from pipelines.analyse.exemplars import names_of
from pipelines.atlas.units import Units, pairs_of
from pipelines.explain.fitted import Fitted
from pipelines.explain.rows import Exemplar, exemplars, neuron_extremes, pair_extremes

LARGEST, SMALLEST, NEURON = "largest", "smallest", "neuron"


class Row(NamedTuple):
    """A row of tiles by its unit: a pair's LARGEST or SMALLEST s, or a NEURON's norms."""

    kind: str
    unit: int


class Showing(NamedTuple):
    """One exemplar of one row."""

    kind: str
    unit: int
    key: str
    value: float
    scale: float
    """Standard deviation of its unit's contribution, which differences are held against."""


class Item(NamedTuple):
    """What a worker takes: one shard, and all that is shown of it."""

    shard: str
    url: str
    digest: str
    """Of all that decides what comes of it."""
    showings: tuple[Showing, ...]


Rows = dict[Row, tuple[Exemplar, ...]]


def rows_of(fitted: Fitted, units: Units, tiles: int) -> Rows:
    """Both sides of every pair and every neuron that has a page.

    No image is on both sides of a pair, but where there is one image alone.
    """
    pairs, side = pairs_of(units), min(tiles, max(1, fitted.moments.count // 2))
    neurons = torch.tensor(units.neurons, dtype=torch.int64)
    found = {
        LARGEST: (units.pairs, pair_extremes(fitted, pairs, +1, side)),
        SMALLEST: (units.pairs, pair_extremes(fitted, pairs, -1, side)),
        NEURON: (units.neurons, neuron_extremes(fitted, neurons, tiles)),
    }
    ids = torch.cat([ids.flatten() for _, (_, ids) in found.values()])
    names = names_of(fitted.run, ids)
    return {
        Row(kind, unit): row
        for kind, (ordered, extremes) in found.items()
        for unit, row in zip(ordered, exemplars(extremes, names), strict=True)
    }


def items_of(fitted: Fitted, rows: Rows, how: dict[str, Any]) -> list[Item]:
    """The rows by shard, in order of shard id; `how` tiles are made goes into the digests."""
    by_shard: dict[str, list[Showing]] = {}
    scales = _scales(fitted)
    for row, shown in rows.items():
        scale = float(scales[row.kind][row.unit])
        for exemplar in shown:
            one = Showing(*row, exemplar.key, exemplar.coefficient, scale)
            by_shard.setdefault(exemplar.shard, []).append(one)
    records = {record["shard"]: record for record in fitted.run.each_record()}
    return [
        _item(records[shard], tuple(sorted(showings)), how)
        for shard, showings in sorted(by_shard.items())
    ]


def _scales(fitted: Fitted) -> dict[str, np.ndarray]:
    """The standard deviation of every unit's contribution, by kind of row."""
    pairs = (fitted.pairs["std"] * fitted.pairs["direction_norm"]).to_numpy()
    moments, gram = fitted.moments.neurons, fitted.directions.neuron_gram()
    variance = (moments.comoment * gram).sum((1, 2)) / moments.count
    return {LARGEST: pairs, SMALLEST: pairs, NEURON: variance.clamp_min(0).sqrt().numpy()}


def _item(record: dict[str, Any], showings: tuple[Showing, ...], how: dict[str, Any]) -> Item:
    made_from = [record["url"], record.get("source"), showings, how]
    digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    return Item(record["shard"], record["url"], digest, showings)

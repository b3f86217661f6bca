"""Example images of a concept from both sides, as small JPEGs inside the page."""

from dataclasses import dataclass

import numpy as np

from pipelines.analyse.sides import Side
from pipelines.io.shards import fetch
from pipelines.pages.thumbnail import thumbnail

SIZE = 160
"""Pixels: enough to be enlarged when pointed at."""
TAIL = (0.0, 0.05, 0.1, 0.2, 0.35)
RANKS = (*TAIL, *(1 - rank for rank in reversed(TAIL)))
"""Which images stand for a side: the part of it that scores higher. Both tails, from the strongest
image to the weakest, the same for every side."""


@dataclass(frozen=True)
class Example:
    """One image of a strip."""

    key: str
    rank: float
    """The part of its side's images that score higher: 0 for the strongest, 1 for the weakest."""
    value: float
    uri: str | None
    """A data URI, or None where the image could not be read again."""


def strips(side: Side, columns: list[str]) -> dict[str, list[Example]]:
    """For each column of measures, the same ranks on every side, so that strips compare by eye."""
    chosen = {column: _rows(side, column) for column in columns}
    wanted = {
        (str(side.rows["shard"][row]), str(side.rows["key"][row]))
        for rows in chosen.values()
        for row in rows
    }
    images = fetch(side.run.shard_urls, sorted(wanted)) if wanted else {}
    uris = {place: thumbnail(data, SIZE) for place, data in images.items()}
    return {
        column: [_example(side, column, row, i, uris) for i, row in enumerate(rows)]
        for column, rows in chosen.items()
    }


def _rows(side: Side, column: str) -> list[int]:
    order = np.argsort(-side.rows[column].to_numpy(np.float64), kind="stable")
    places = np.rint(np.array(RANKS) * (len(order) - 1)).astype(int)
    return [int(row) for row in order[places]]


def _example(
    side: Side, column: str, row: int, step: int, uris: dict[tuple[str, str], str | None]
) -> Example:
    shard, key = str(side.rows["shard"][row]), str(side.rows["key"][row])
    value = float(side.rows[column][row])
    return Example(key, RANKS[step], value, uris.get((shard, key)))

"""Example images of a concept from both sides, as small JPEGs inside the page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipelines.analyse.sides import Side
from pipelines.io.shards import fetch

SIZE = 96
STEPS = 8
"""Images per side and concept, at equal steps of rank from the strongest down to the median."""


@dataclass(frozen=True)
class Example:
    """One image of a strip."""

    key: str
    rank: float
    """The part of its side's images that score higher: 0 for the strongest, 0.5 the median."""
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
    uris = {place: _uri(data) for place, data in images.items()}
    return {
        column: [_example(side, column, row, i, uris) for i, row in enumerate(rows)]
        for column, rows in chosen.items()
    }


def _rows(side: Side, column: str) -> list[int]:
    order = np.argsort(-side.rows[column].to_numpy(np.float64), kind="stable")
    places = np.linspace(0, (len(order) - 1) / 2, STEPS).astype(int)
    return [int(row) for row in order[places]]


def _example(
    side: Side, column: str, row: int, step: int, uris: dict[tuple[str, str], str | None]
) -> Example:
    shard, key = str(side.rows["shard"][row]), str(side.rows["key"][row])
    value = float(side.rows[column][row])
    return Example(key, step / (STEPS - 1) / 2, value, uris.get((shard, key)))


def _uri(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (SIZE, SIZE))
            small = image.convert("RGB")
            small.thumbnail((SIZE, SIZE))
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=82)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""Exemplars read again from the shards: the square that the model saw, and its feature map."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nhd_ops.trunk import Trunk
from pipelines.explain.fitted import Fitted
from pipelines.explain.rows import Exemplar, Row, Sheet
from pipelines.io.images import Decoded, decode
from pipelines.io.preprocess import stacked
from pipelines.io.shards import Sample, fetch

AT_ONCE = 32
Place = tuple[str, str]
"""Shard id and key."""


@dataclass(frozen=True, eq=False)
class View:
    """One image as the model saw it."""

    pixels: np.ndarray
    """uint8 [S,S,3], after resize and centre crop."""
    features: Tensor
    """Z [C,g,g]."""


@dataclass(frozen=True, eq=False)
class Seen:
    """An exemplar that was read again."""

    pixels: np.ndarray
    """uint8 [S,S,3]."""
    grid: Tensor
    """[g,g], what each place adds."""
    mean_token: float
    """What token 0 adds, which has no place."""

    @property
    def total(self) -> float:
        """What the model gives for the image: the coefficient, if the shard has not changed."""
        return float(self.grid.sum()) + self.mean_token


class Tile(NamedTuple):
    """One exemplar of a row; `seen` is None where its image could not be read again."""

    exemplar: Exemplar
    seen: Seen | None


def views(fitted: Fitted, sheets: Iterable[Sheet]) -> dict[Place, View]:
    """Every exemplar of the sheets that can still be read, each shard opened once."""
    wanted = {(e.shard, e.key) for sheet in sheets for row in sheet.rows for e in row.exemplars}
    files = fetch(fitted.run.shard_urls, sorted(wanted))
    return dict(_forward(fitted, _decoded(fitted, files)))


def tiles(row: Row, seen: dict[Place, View]) -> list[Tile]:
    """The row's exemplars in order, with their maps."""
    there = {place: seen[place] for e in row.exemplars if (place := (e.shard, e.key)) in seen}
    if not there:
        return [Tile(e, None) for e in row.exemplars]
    with torch.inference_mode():
        maps = row.look(torch.stack([view.features for view in there.values()]))
    found = {
        place: Seen(view.pixels, grid, float(mean))
        for (place, view), grid, mean in zip(
            there.items(), maps.grid[:, 0], maps.mean[:, 0], strict=True
        )
    }
    return [Tile(e, found.get((e.shard, e.key))) for e in row.exemplars]


def _decoded(fitted: Fitted, files: dict[Place, bytes]) -> list[tuple[Place, Tensor]]:
    found = []
    for place, data in files.items():
        image = decode(Sample(place[1], data, None, {}), fitted.loaded.pixels)
        if isinstance(image, Decoded):
            found.append((place, image.pixels))
    return found


def _forward(fitted: Fitted, decoded: list[tuple[Place, Tensor]]) -> Iterator[tuple[Place, View]]:
    trunk = Trunk(fitted.loaded.model.visual)
    for start in range(0, len(decoded), AT_ONCE):
        places, pixels = zip(*decoded[start : start + AT_ONCE], strict=True)
        with torch.inference_mode():
            features = trunk(fitted.loaded.pixels.normalise(stacked(pixels)))
        for place, picture, one in zip(places, pixels, features, strict=True):
            yield place, View(picture.permute(1, 2, 0).numpy(), one)

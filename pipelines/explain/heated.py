"""Exemplars of a pair as the model sees them, and where in them it fires."""

import numpy as np
from PIL import Image

from pipelines.explain.fitted import open_fitted
from pipelines.explain.heat import enlarge, heat_of, overlay
from pipelines.explain.rows import Row, Sheet, pair_exemplars, pair_look
from pipelines.explain.views import Seen, tiles, views
from pipelines.pages.thumbnail import data_uri

SIDE = 192  # pixels of a picture, so that maps stay sharp on dense screens


def heated(url: str, pair: int) -> dict[tuple[str, str], tuple[str, str]]:
    """(shard, key) → data URIs of the picture and of its map, all maps on one scale of heat.

    Images that are gone are left out.

    Raises UsageError for other weights than the run's, and where images were added since the fit.
    """
    fitted = open_fitted(url)
    row = Row("", (), {}, pair_exemplars(fitted, pair), pair_look(fitted, pair))
    found = tiles(row, views(fitted, [Sheet("", "", "", {}, (row,))]))
    seen = {(t.exemplar.shard, t.exemplar.key): t.seen for t in found if t.seen is not None}
    most = max((float(heat_of(s.grid, s.total).max()) for s in seen.values()), default=1.0)
    return {place: (_uri(one.pixels), _uri(_laid_over(one, most))) for place, one in seen.items()}


def _laid_over(seen: Seen, most: float) -> np.ndarray:
    heat = enlarge(heat_of(seen.grid, seen.total), len(seen.pixels))
    return overlay(seen.pixels, heat, most)


def _uri(pixels: np.ndarray) -> str:
    """uint8 [S,S,3] as a small picture."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    return data_uri(picture)

"""One colour per class: in maps written as palette PNGs, in overlays and in their legends."""

import colorsys
import io
from functools import cache

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

NAMED = "tab20"
UNKNOWN = (0, 0, 0)
GOLDEN = 0.618033988749895  # of a turn: hues of neighbours in number lie far apart


@cache
def colours(classes: int) -> NDArray[np.uint8]:
    """[P,3]; distinct, the same for the same number of classes."""
    if classes <= 20:
        map_ = colormaps[NAMED]
        order = [*range(0, 20, 2), *range(1, 20, 2)]  # the strong ones first
        rows = [map_(i)[:3] for i in order[:classes]]
    else:
        levels = ((0.85, 0.95), (0.55, 0.75), (0.95, 0.6), (0.35, 0.95))
        rows = [colorsys.hsv_to_rgb(i * GOLDEN % 1, *levels[i % 4]) for i in range(classes)]
    return np.round(255 * np.array(rows)).astype(np.uint8)


def png(ids: NDArray[np.uint8], classes: int) -> bytes:
    """A map of class ids [h,w] as a PNG whose pixels are the ids and whose palette shows them."""
    image = Image.fromarray(ids)  # mode L
    image.putpalette([*colours(classes).ravel().tolist()])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

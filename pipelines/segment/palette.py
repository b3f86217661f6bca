"""One colour per class: in maps written as palette PNGs, in overlays and in their legends."""

import colorsys
import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# matplotlib's tab20, the strong ones first; workers do without matplotlib
FEW = (
    "1f77b4ff7f0e2ca02cd627289467bd8c564be377c27f7f7fbcbd2217becf"
    "aec7e8ffbb7898df8aff9896c5b0d5c49c94f7b6d2c7c7c7dbdb8d9edae5"
)
GOLDEN = 0.618033988749895  # of a turn: hues of neighbours in number lie far apart


@cache
def colours(classes: int) -> NDArray[np.uint8]:
    """[P,3]; distinct, the same for the same number of classes."""
    if classes <= 20:
        return np.frombuffer(bytes.fromhex(FEW), np.uint8).reshape(20, 3)[:classes]
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

"""Truth by pixel: which member or file is a mask, and the class ids in it."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import UsageError
from pipelines.io.images import opened
from pipelines.io.rejects import Reject

MODES = ("1", "L", "P", "I", "I;16", "I;16B")  # one number per pixel
IGNORE = 255
GREY = 0  # colour type of a PNG
Ids = NDArray[np.int32]


def is_mask(extension: str) -> bool:
    """Could a sample's member with this extension be its mask?"""
    return extension == "png" or extension.endswith(".png")


def mask_of(extensions: Iterable[str]) -> str | None:
    """Which of a sample's extensions that could be masks is the one: `mask.png`, or the only one.

    None if there is none; raises ValueError if there are several.
    """
    found = sorted(extensions)
    if "mask.png" in found:
        return "mask.png"
    if len(found) > 1:
        raise ValueError(f"members {', '.join(found)}")
    return found[0] if found else None


def read_mask(key: str, data: bytes, size: tuple[int, int]) -> Ids | Reject:
    """The ids [h,w] of a mask for an image of `size` (width, height), or why it is of no use.

    Palette images are read as indices, not colours.
    """
    found = opened(key, data, _ids)
    if isinstance(found, Reject):
        return Reject(key, "undecodable_mask", f"{found.reason}: {found.detail}")
    if found.shape != size[::-1]:
        height, width = found.shape
        detail = f"{width} x {height}, but the image is {size[0]} x {size[1]}"
        return Reject(key, "mask_size", detail)
    return found


def _ids(image: Image.Image, data: bytes) -> Ids:
    if image.format != "PNG" or image.mode not in MODES:
        raise ValueError(f"{image.format} of mode {image.mode}, not a PNG of numbers")
    depth, kind = data[24], data[25]  # of the header
    # Pillow stretches grey of 2 and 4 bits to 0..255, which would make other ids of them.
    stretch = 255 // (2**depth - 1) if kind == GREY and depth in (2, 4) else 1
    return np.asarray(image).astype(np.int32) // stretch


def check_ids(name: str, ids: Ids, classes: int, ignore: int) -> Ids:
    """The ids with -1 for `ignore`; UsageError, naming the file, for ids of no class."""
    ids = np.where(ids == ignore, -1, ids)
    if ids.max(initial=-1) >= classes:
        raise UsageError(
            f"the mask of {name} holds class {ids.max()}, but there are {classes} classes, from 0 "
            f"to {classes - 1}, and {ignore} for pixels that do not count; mend --classes or "
            "--ignore"
        )
    return ids

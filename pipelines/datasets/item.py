"""One sample of a published dataset, and the shard that samples are written to.

Imports nothing heavy: this is all that the processes which write shards need.
"""

import io
import json
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from pipelines.datasets.blob import Blob
from pipelines.datasets.masks import Mask, png_bytes
from pipelines.errors import UsageError
from pipelines.io import shards


@dataclass(frozen=True)
class Item:
    """One sample: what its shard will hold of it."""

    key: str
    """Unique in the dataset; without dots, which end a key in WebDataset."""
    image: Blob
    """The encoded image, kept as it is."""
    fields: dict[str, Any]
    """The sample's JSON."""
    mask: Mask | None = None
    """The class of every pixel, in a set for segmentation."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What the bytes in the shard follow from, wherever the source lies."""
        mask = self.mask.identity if self.mask is not None else None
        return self.key, self.image.identity, self.fields, mask


def write_shard(_: None, job: tuple[str, list[Item]]) -> None:
    """Write the (URL, items) of a job, atomically; raises UsageError for what cannot be used."""
    url, items = job
    shards.write(url, (member for item in items for member in _members(item)))


def _members(item: Item) -> list[tuple[str, bytes]]:
    image = item.image.read()
    text = json.dumps(item.fields, ensure_ascii=False).encode()
    found = [(f"{item.key}.{item.image.extension}", image), (f"{item.key}.json", text)]
    if item.mask is not None:
        pixels = item.mask.pixels()  # [H,W]
        if (size := _size(item, image)) != pixels.shape[::-1]:
            raise UsageError(
                f"{item.image.place} is {size[0]} x {size[1]} pixels, but its mask is "
                f"{pixels.shape[1]} x {pixels.shape[0]}"
            )
        found.append((f"{item.key}.mask.png", png_bytes(pixels)))
    return found


def _size(item: Item, image: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(image)) as opened:
            return opened.size
    except (UnidentifiedImageError, OSError) as error:
        raise UsageError(f"{item.image.place} is no image that can be opened: {error}") from error

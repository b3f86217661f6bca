"""Masks as they are published, and the class ids that their values stand for.

A mask in a shard is a grey PNG of the image's size: each pixel an index into classes.json, or
IGNORE where the pixel counts for nothing.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipelines.datasets.blob import Blob
from pipelines.errors import UsageError

IGNORE = 255
REFUSED = -1
"""In a table: a value that the published masks never have."""

Table = tuple[int, ...]
"""256 entries: value in the published mask → class id, IGNORE or REFUSED."""


def table(known: dict[int, int]) -> Table:
    """A table in which all values but the `known` are refused."""
    return tuple(known.get(value, REFUSED) for value in range(256))


@dataclass(frozen=True)
class PngMask:
    """A PNG whose values, grey or palette indices, are looked up in a table."""

    blob: Blob
    table: Table

    @property
    def identity(self) -> tuple[Any, ...]:
        """What the pixels follow from."""
        return self.blob.identity, self.table

    def pixels(self) -> np.ndarray:
        """uint8 [H,W]; raises UsageError for what is no mask of this dataset."""
        values = self._values()  # [H,W]
        found = np.asarray(self.table)[values]
        if (found == REFUSED).any():
            stray = int(values[found == REFUSED].min())
            raise UsageError(
                f"{self.blob.place} has the value {stray}, which the masks of this dataset never "
                "have; is it of another version?"
            )
        return found.astype(np.uint8)

    def _values(self) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(self.blob.read()), formats=("PNG",)) as image:
                if image.mode not in ("L", "P"):
                    raise UsageError(
                        f"{self.blob.place} is a picture of mode {image.mode}, not a mask with "
                        "one byte per pixel"
                    )
                return np.asarray(image)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise UsageError(f"{self.blob.place} is no undamaged PNG: {error}") from error


@dataclass(frozen=True)
class RunLengthMask:
    """Segments as COCO's compressed run lengths; later ones are painted over earlier ones."""

    height: int
    width: int
    segments: tuple[tuple[int, str], ...]
    """Class id and run lengths."""
    place: str

    @property
    def identity(self) -> tuple[Any, ...]:
        """What the pixels follow from."""
        return self.height, self.width, self.segments

    def pixels(self) -> np.ndarray:
        """uint8 [H,W], IGNORE where no segment lies; raises UsageError for broken run lengths."""
        found = np.full((self.height, self.width), IGNORE, np.uint8)
        for class_id, text in self.segments:
            runs = run_lengths(text)
            if sum(runs) != found.size or min(runs) < 0:
                raise UsageError(f"{self.place}: the run lengths of a segment do not fill its mask")
            inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            found[inside.reshape(self.width, self.height).T] = class_id  # column by column
        return found


Mask = PngMask | RunLengthMask


def run_lengths(text: str) -> list[int]:
    """COCO's compressed run lengths: pixels outside, inside, outside, ..., down the columns.

    Five bits a character, lowest first; 32 marks that more follow, 16 in the last a negative
    number; from the fourth on, each is the difference to the one before the last (the COCO API's
    rleFrString).
    """
    runs: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs


def png_bytes(pixels: np.ndarray) -> bytes:
    """A grey PNG of uint8 [H,W]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()

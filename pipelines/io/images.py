"""Decode and preprocess images as open_clip's evaluation transform does.

Whatever bytes a sample holds, it becomes a Decoded or a Reject, and Pillow decides which. Pixels
are those of the file, as open_clip takes them: the first frame, resized in the file's own mode
before it is made RGB, and turned only where Pillow itself does so (TIFF), not by the EXIF
orientation of other formats.
"""

import dataclasses
import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample

T = TypeVar("T")
Transform = Callable[[Image.Image, bytes], torch.Tensor]
"""An opened image and its file → uint8 [3,S,S]; what runs use is a Preprocess."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF")  # Pillow opens MPO as JPEG
MAGIC = re.compile(
    rb"\xff\xd8|\x89PNG|RIFF.{4}WEBP|GIF8|BM|II[*+]\0|II\0[*+]|MM\0[*+]|MM[*+]\0"
    rb"|[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",  # the header sizes of DIB
    re.DOTALL,
)
PIXEL_LIMIT = 178_956_970  # 2 * Image.MAX_IMAGE_PIXELS, whatever others set that to


@dataclass(frozen=True)
class Decoded:
    """A sample whose image is ready to be normalised: uint8 [3,S,S], and the source's size.

    The sample no longer holds the encoded image.
    """

    sample: Sample
    pixels: torch.Tensor
    width: int
    height: int


def decode(sample: Sample, transform: Transform) -> Decoded | Reject:
    """Decode one image; what is wrong with the image is a Reject.

    Raises MemoryError alone, since that is the machine's fault and says nothing of the sample.
    """

    def take(image: Image.Image, data: bytes) -> Decoded:
        pixels = transform(image, data)
        return Decoded(dataclasses.replace(sample, image=b""), pixels, image.width, image.height)

    return opened(sample.key, sample.image, take)


def opened(key: str, data: bytes, take: Callable[[Image.Image, bytes], T]) -> T | Reject:
    """What `take` makes of an image file, or a Reject of `key` if the file is no good.

    Raises MemoryError alone.
    """
    if not data:
        return Reject(key, "empty_image", "the file has 0 bytes")
    _silence_pillow()
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if (needed := _pixels_needed(image)) > PIXEL_LIMIT:
            return Reject(key, "too_many_pixels", f"{needed} pixels")
        return take(image, data)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        reason = "undecodable_image" if MAGIC.match(data) else "unsupported_format"
        return Reject(key, reason, f"begins with {data[:16]!r}")
    except Image.DecompressionBombError as error:
        return Reject(key, "too_many_pixels", str(error))
    except Exception as error:  # Pillow's plugins raise many kinds on hostile bytes
        return Reject(key, "undecodable_image", f"{type(error).__name__}: {error}")


def _silence_pillow() -> None:
    """Let Pillow neither warn nor log: what is wrong with a sample is said once, by its Reject.

    `warnings.catch_warnings` swaps the filters of all threads, so one filter stays installed. It is
    looked for each time because others' `catch_warnings`, pytest's for one, throw it away.
    """
    if ("ignore", None, Warning, re.compile(r"PIL\."), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logging.getLogger("PIL").setLevel(logging.CRITICAL)


def _pixels_needed(image: Image.Image) -> int:
    """Pixels of what decoding makes room for: the image, or one tile of a TIFF if that is larger.

    Pillow checks the image only, so that a file of 1 MB whose one tile is larger takes gigabytes.
    """
    tags = getattr(image, "tag_v2", {})
    tile = [tags.get(tag) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH)]
    width, height = (side if isinstance(side, int) else 0 for side in tile)
    return max(image.width * image.height, width * height)

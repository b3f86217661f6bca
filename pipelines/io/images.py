"""Decode and preprocess images exactly as open_clip's evaluation transform does, with Pillow.

Whatever bytes a sample holds, it becomes a Decoded or a Reject. Pixels are those of the file, as
open_clip takes them: the first frame, resized in the file's own mode before it is made RGB, and
turned only where Pillow itself does so (TIFF), not by the EXIF orientation of other formats.
"""

import dataclasses
import hashlib
import io
import logging
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image, TiffImagePlugin, UnidentifiedImageError
from torchvision.transforms import CenterCrop, Resize

from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample

Transform = Callable[[Image.Image], torch.Tensor]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF")  # Pillow opens MPO as JPEG
MAGIC = re.compile(
    rb"\xff\xd8|\x89PNG|RIFF.{4}WEBP|GIF8|BM|II[*+]\0|II\0[*+]|MM\0[*+]|MM[*+]\0"
    rb"|[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",  # the header sizes of DIB
    re.DOTALL,
)
PIXEL_LIMIT = 178_956_970  # 2 * Image.MAX_IMAGE_PIXELS, whatever others set that to
WHOLE_LIMIT = 2**25  # pixels; a resized picture larger than this is made only where it is kept


@dataclass(frozen=True)
class Decoded:
    """A sample whose image is ready for the model: tensor [3,S,S] and the source's size.

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
    if not sample.image:
        return Reject(sample.key, "empty_image", "the file has 0 bytes")
    _silence_pillow()
    try:
        image = Image.open(io.BytesIO(sample.image), formats=FORMATS)
        if (needed := _pixels_needed(image)) > PIXEL_LIMIT:
            return Reject(sample.key, "too_many_pixels", f"{needed} pixels")
        pixels = _transformed(image, transform)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        reason = "undecodable_image" if MAGIC.match(sample.image) else "unsupported_format"
        return Reject(sample.key, reason, f"begins with {sample.image[:16]!r}")
    except Image.DecompressionBombError as error:
        return Reject(sample.key, "too_many_pixels", str(error))
    except Exception as error:  # Pillow's plugins raise many kinds on hostile bytes
        return Reject(sample.key, "undecodable_image", f"{type(error).__name__}: {error}")
    return Decoded(dataclasses.replace(sample, image=b""), pixels, image.width, image.height)


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


def _transformed(image: Image.Image, transform: Transform) -> torch.Tensor:
    """`transform(image)`, without ever making a picture that is mostly cropped away."""
    match getattr(transform, "transforms", []):
        case [Resize() as resize, CenterCrop() as crop, *rest]:
            kept = _center(image, resize, crop)
            if kept is not None:
                for step in rest:
                    kept = step(kept)
                return kept  # type: ignore[return-value]
    return transform(image)


def _center(image: Image.Image, resize: Resize, crop: CenterCrop) -> Image.Image | None:
    """What `crop` keeps of the resized image, where that has more than WHOLE_LIMIT pixels.

    A picture of 1 x 20,000 would become one of S x 20,000 S. None where the resized image is
    smaller, or where the two steps are not as open_clip has them: the shorter side made S, and at
    most S cropped. Agrees with the two steps up to rounding.
    """
    if not isinstance(resize.size, int) or resize.max_size is not None:
        return None
    width, height = (int(resize.size * side / min(image.size)) for side in image.size)
    if width * height <= WHOLE_LIMIT or max(crop.size) > resize.size:
        return None
    left, right, x0, x1 = _span(image.width, width, crop.size[1])
    top, bottom, y0, y1 = _span(image.height, height, crop.size[0])
    part = image.crop((left, top, right, bottom))
    how = Image.Resampling[resize.interpolation.name]
    return part.resize(crop.size[::-1], how, (x0, y0, x1, y1))


def _span(whole: int, resized: int, kept: int) -> tuple[int, int, float, float]:
    """Along one side: first and last pixel that the middle is made of, and its place in these.

    A part is cut out first since Pillow holds places as fp32, too coarse far from the origin. Its
    filters reach at most 3 pixels further, of the image or of the resized one, whichever are wider.
    """
    start = round((resized - kept) / 2)
    low, high = start * whole / resized, (start + kept) * whole / resized
    reach = 4 * max(1, whole / resized)
    first = max(0, math.floor(low - reach))
    return first, min(whole, math.ceil(high + reach)), low - first, high - first


def preprocess_id(transform: Transform) -> str:
    """A short name of what is done to an image, equal for equal transforms."""
    text = " ".join(str(transform).split())
    text = text.split(" at 0x")[0]
    return "pillow-" + hashlib.sha256(text.encode()).hexdigest()[:8]

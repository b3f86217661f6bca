"""What is done to an opened image before the model sees it: resize, crop, RGB, then normalise.

Pixels stay uint8 until they are on the model's device. `exact` is open_clip's evaluation transform
bit by bit: Pillow resizes in the file's own mode, and only then makes RGB of it. `fast` decodes
JPEGs with libjpeg-turbo and resizes them with torchvision's uint8 kernel, which rounds otherwise.
Neither runs a torch operation that would use threads of its own, since many images are decoded at
a time. (The resize does not where pixels lie as [H,W,3]; copying them to [3,H,W] first would.)
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from pipelines.errors import UsageError
from pipelines.model_spec import How
from pipelines.vision import (
    CenterCrop,
    InterpolationMode,
    MaybeConvertMode,
    MaybeToTensor,
    Normalize,
    Resize,
    pillow_ops,
    tensor_ops,
)

DECODERS = {"fast": "simplejpeg", "exact": "pillow"}
WHOLE_LIMIT = 2**25  # pixels; a resized picture larger than this is made only where it is kept


@dataclass(frozen=True)
class Preprocess:
    """Make the shorter side `size` pixels, keep the middle square, subtract mean, divide by std.

    Called with an image that Pillow has opened and the bytes it was opened from.
    """

    size: int
    interpolation: InterpolationMode
    mean: tuple[float, float, float]
    """Of each channel, on a scale from 0 to 1."""
    std: tuple[float, float, float]
    digest: str
    """Equal for equal transforms of open_clip."""
    how: How

    @property
    def id(self) -> str:
        """A short name of what is done to an image."""
        return f"{DECODERS[self.how]}-{self.digest}"

    def __call__(self, image: Image.Image, data: bytes) -> Tensor:
        """The middle of the image, resized: uint8 [3,S,S], in memory as [S,S,3].

        Raises what Pillow raises on damaged images, whichever way is asked for.
        """
        if self.how == "fast" and isinstance(image, JpegImageFile):
            try:
                return self._fast(image, data)
            except Exception:  # whatever is odd about a file is for Pillow to judge
                pass
        return self._exact(image)

    def normalise(self, batch: Tensor) -> Tensor:
        """uint8 [B,3,S,S] → fp32 [B,3,S,S], in memory as [B,S,S,3], on the batch's device.

        The arithmetic is that of torchvision's ToTensor and Normalize, so results are equal.
        """
        side = batch.shape[-1]
        scale, mean, std = _constants(self.mean, self.std, side, batch.device)
        rows = batch.permute(0, 2, 3, 1).flatten(2).float()  # [B,S,S·3]: whole rows are fast
        rows.div_(scale).sub_(mean).div_(std)
        return rows.unflatten(2, (side, 3)).permute(0, 3, 1, 2)

    def _fast(self, image: Image.Image, data: bytes) -> Tensor:
        """Raises ValueError for what is not a whole RGB or grey JPEG of the size Pillow saw.

        Also for tall images: Pillow shrinks these along their height first, which rounds otherwise.
        """
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if image.mode not in ("RGB", "L") or (width, height) != image.size:
            raise ValueError(f"{image.mode} of {image.size}, or {width} x {height}")
        if self._is_long(image) or height >= 2 * width:
            raise ValueError(f"{width} x {height} is too long")
        decoded = torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB"))  # [H,W,3]
        resized = tensor_ops.resize(
            decoded.permute(2, 0, 1), [self.size], self.interpolation, antialias=True
        )
        top, left = (round((side - self.size) / 2) for side in resized.shape[1:])
        kept = resized[:, top : top + self.size, left : left + self.size]
        return _channels_first(np.ascontiguousarray(kept.permute(1, 2, 0).numpy()))

    def _exact(self, image: Image.Image) -> Tensor:
        if self._is_long(image):
            kept = _center(image, self.size, self.interpolation)
        else:
            resized = pillow_ops.resize(image, [self.size], self.interpolation)
            kept = pillow_ops.center_crop(resized, [self.size, self.size])
        return _channels_first(np.array(kept.convert("RGB")))

    def _is_long(self, image: Image.Image) -> bool:
        """Whether the whole image resized, most of which is cropped away, would be too large."""
        width, height = _resized(image.size, self.size)
        return width * height > WHOLE_LIMIT


def preprocess_of(transform: Any, how: How = "fast") -> Preprocess:
    """The same as a transform of open_clip's, whose name `exact` keeps.

    Raises UsageError if it is not open_clip's evaluation transform of a square, shortest side.
    """
    match getattr(transform, "transforms", []):
        case [
            Resize(size=int(size), max_size=None, interpolation=interpolation),
            CenterCrop(size=(height, width)),
            MaybeConvertMode(mode="RGB"),
            MaybeToTensor(),
            Normalize(mean=mean, std=std),
        ] if height == width == size:
            text = " ".join(str(transform).split())
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            return Preprocess(size, interpolation, tuple(mean), tuple(std), digest, how)
    found = " ".join(str(transform).split())
    raise UsageError(
        f"this model's images are prepared by {found}; nhd knows only open_clip's evaluation "
        "transform that resizes the shorter side and keeps the middle square: choose another model"
    )


def stacked(pixels: Sequence[Tensor]) -> Tensor:
    """[3,S,S] each → [B,3,S,S], in memory as [B,S,S,3]: ten times faster than torch.stack."""
    return torch.stack([image.permute(1, 2, 0) for image in pixels]).permute(0, 3, 1, 2)


@functools.lru_cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], side: int, device: torch.device
) -> tuple[Tensor, ...]:
    """255, and mean and std for a row of pixels [side·3], on the device, moved there once.

    255 is a tensor because CUDA multiplies by the reciprocal of a Python number.
    """
    return (
        torch.tensor(255.0, device=device),
        torch.tensor(mean, device=device).repeat(side),
        torch.tensor(std, device=device).repeat(side),
    )


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _resized(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Width and height with the shorter side made `shorter`, as torchvision rounds them."""
    width, height = (int(shorter * side / min(size)) for side in size)
    return width, height


def _center(image: Image.Image, size: int, interpolation: InterpolationMode) -> Image.Image:
    """The middle square of the resized image, without making the rest of that.

    A picture of 1 x 20,000 would become one of S x 20,000 S. Agrees with resizing and cropping up
    to rounding.
    """
    width, height = _resized(image.size, size)
    left, right, x0, x1 = _span(image.width, width, size)
    top, bottom, y0, y1 = _span(image.height, height, size)
    part = image.crop((left, top, right, bottom))
    return part.resize((size, size), Image.Resampling[interpolation.name], (x0, y0, x1, y1))


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

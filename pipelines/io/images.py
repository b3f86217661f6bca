"""Decode and preprocess images exactly as open_clip's evaluation transform does, with Pillow."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image

from pipelines.io.shards import Reject, Sample

Transform = Callable[[Image.Image], torch.Tensor]


@dataclass(frozen=True)
class Decoded:
    """A sample whose image is ready for the model: tensor [3,S,S] and the source's size."""

    sample: Sample
    pixels: torch.Tensor
    width: int
    height: int


def decode(sample: Sample, transform: Transform) -> Decoded | Reject:
    """Decode one image; every failure is a Reject, never an exception."""
    try:
        image = Image.open(io.BytesIO(sample.image))
        return Decoded(sample, transform(image), image.width, image.height)
    except Image.DecompressionBombError as error:
        return Reject(sample.key, "decode", "too_many_pixels", str(error)[:200])
    except Exception as error:  # Pillow's plugins raise many kinds on hostile bytes
        reason = "undecodable_image" if sample.image else "empty_image"
        return Reject(sample.key, "decode", reason, f"{type(error).__name__}: {error}"[:200])


def preprocess_id(transform: Transform) -> str:
    """A short name of what is done to an image, equal for equal transforms."""
    text = " ".join(str(transform).split())
    text = text.split(" at 0x")[0]
    return "pillow-" + hashlib.sha256(text.encode()).hexdigest()[:8]

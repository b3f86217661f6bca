"""Decoding is open_clip's own transform, and what cannot be decoded is a reject."""

import io

import pytest
import torch
from PIL import Image

from pipelines.io.images import Decoded, decode
from pipelines.io.shards import Reject, Sample
from pipelines.tiny.model import preprocess


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def made(data: bytes) -> Sample:
    return Sample("key", data, None, {})


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "LA", "1", "I;16"])
@pytest.mark.parametrize("size", [(128, 128), (200, 90), (1, 1), (31, 300)])
def test_every_mode_goes_through_the_transform_unchanged(mode: str, size: tuple[int, int]) -> None:
    noise = Image.effect_noise(size, 90)
    image = noise.convert("I").convert("I;16") if mode == "I;16" else noise.convert(mode)
    data = encoded(image, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    found = decode(made(data), preprocess())
    assert isinstance(found, Decoded)
    assert (found.width, found.height) == size
    assert torch.equal(found.pixels, preprocess()(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_image"),
        (b"GIF89a", "undecodable_image"),
        (b"<html>404</html>", "undecodable_image"),
        (encoded(Image.new("RGB", (64, 64)), "JPEG")[:300], "undecodable_image"),
        (encoded(Image.new("1", (40_000, 5_000))), "too_many_pixels"),
    ],
)
def test_what_cannot_be_decoded_is_a_reject(data: bytes, reason: str) -> None:
    found = decode(made(data), preprocess())
    assert isinstance(found, Reject)
    assert (found.stage, found.reason) == ("decode", reason)

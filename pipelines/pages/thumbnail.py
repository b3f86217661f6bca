"""A small picture of an image, as text that a page can hold."""

import base64
import io

from PIL import Image, UnidentifiedImageError

SIDE = 96  # pixels


def thumbnail(data: bytes, side: int = SIDE) -> str | None:
    """The image of a file as a JPEG in a data URI, at most `side` pixels wide and high.

    None where the bytes are no image that can be read.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
            small.thumbnail((side, side))
            return data_uri(small)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def data_uri(picture: Image.Image) -> str:
    """A picture as a JPEG in a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""Pictures that cost what photographs cost to decode: gradients, edges and grain, as JPEG."""

import io

import numpy as np
from PIL import Image

WIDTH, HEIGHT, QUALITY = 640, 480, 90


def photograph(seed: int, grain: float = 8.0, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A JPEG of quality 90, 4:2:0; about 105 kB at 640 x 480 with a grain of 8 levels (of 255)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 100
    a, b, c = random.uniform(0.5, 3, 3)
    smooth = np.stack([np.sin(a * x + y), np.cos(b * y - x), np.sin(c * (x + y))], axis=-1)
    edges = 60 * (np.sin(9 * a * x) * np.sin(7 * b * y) > 0.6)
    pixels = 128 + 70 * smooth + edges[..., None] + random.normal(0, grain, smooth.shape)
    file = io.BytesIO()
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return file.getvalue()

"""Pixels and masks of a scene, drawn with Pillow at twice the size and reduced."""

import io

import numpy as np
from PIL import Image, ImageDraw

from pipelines.tiny.scenes import COLOURS, PARTS, Item, Scene
from pipelines.tiny.shapes import Pen, draw_shape


def render(scene: Scene) -> tuple[Image.Image, Image.Image]:
    """The RGB image and its mask (mode L: of every pixel the index into PARTS)."""
    rng = np.random.default_rng(scene.pixel_seed)
    scale = 2
    canvas = _background(scene.background, scene.size, rng).resize((scene.size * scale,) * 2)
    mask = Image.new("L", canvas.size, PARTS.index(scene.background))
    for item in scene.items:
        _draw_item(canvas, mask, item, scale, rng)
    pixels = np.asarray(canvas.reduce(scale), dtype=np.int16)
    noisy = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy), mask.resize((scene.size,) * 2, Image.Resampling.NEAREST)


def jpeg_bytes(image: Image.Image, quality: int = 92) -> bytes:
    """Encode as JPEG without chroma subsampling, so that small objects keep their colour."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def png_bytes(image: Image.Image) -> bytes:
    """Encode as PNG (masks)."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _draw_item(
    canvas: Image.Image, mask: Image.Image, item: Item, scale: int, rng: np.random.Generator
) -> None:
    jitter = rng.integers(-14, 15, 3)
    colour = tuple(int(v) for v in np.clip(np.array(COLOURS[item.colour]) + jitter, 0, 255))
    side = int(2 * item.radius * scale * 1.1)
    stamp = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw_shape(Pen(ImageDraw.Draw(stamp), colour, side), item.shape)
    stamp = stamp.rotate(item.tilt, Image.Resampling.BILINEAR)
    corner = (int(item.x * scale - side / 2), int(item.y * scale - side / 2))
    canvas.paste(stamp, corner, stamp)
    solid = stamp.getchannel("A").point(lambda alpha: 255 if alpha > 127 else 0)
    mask.paste(PARTS.index(item.shape), corner, solid)


def _background(name: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Textures are as fine in pixels at every size; only the night's sky spans the image."""
    y, x = np.mgrid[0:size, 0:size]
    grain = rng.normal(0, 1, (size, size))
    if name == "grass":
        base = _mix(
            (70, 120, 40), (120, 165, 75), 0.5 + 0.35 * np.sin(x * 1.7 + 2 * grain) + 0.1 * grain
        )
    elif name == "sand":
        base = _mix(
            (205, 180, 130),
            (232, 212, 168),
            0.5 + 0.4 * np.sin(y / 5 + np.sin(x / 16 + rng.uniform(0, 6)) * 2) + 0.12 * grain,
        )
    elif name == "sea":
        base = _mix(
            (20, 100, 140),
            (120, 195, 210),
            0.4 + 0.4 * np.sin(y / 3 + np.sin(x / 7 + rng.uniform(0, 6))) + 0.06 * grain,
        )
    elif name == "brick":
        row = np.floor(y / 12)
        mortar = (y % 12 < 1.6) | ((x + 12 * (row % 2)) % 24 < 1.6)
        base = _mix((150, 78, 62), (176, 100, 80), 0.5 + 0.15 * grain)
        base[mortar] = (205, 198, 188)
    elif name == "night":
        base = _mix((14, 16, 44), (34, 34, 78), y / size + 0.05 * grain)
        base[rng.random((size, size)) < 0.012] = (235, 235, 215)
    else:
        base = _mix(
            (214, 224, 236), (240, 244, 250), 0.5 + 0.25 * np.sin(x / 19 + y / 23) + 0.1 * grain
        )
        base[rng.random((size, size)) < 0.03] = (180, 196, 220)
    light = rng.uniform(0.88, 1.08)
    return Image.fromarray(np.clip(base * light, 0, 255).astype(np.uint8))


def _mix(low: tuple[int, int, int], high: tuple[int, int, int], amount: np.ndarray) -> np.ndarray:
    amount = np.clip(amount, 0, 1)[..., None]
    return np.asarray(low) * (1 - amount) + np.asarray(high) * amount

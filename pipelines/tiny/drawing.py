"""Pixels and masks of a scene, drawn with Pillow at twice the size and reduced."""

import io

import numpy as np
from PIL import Image, ImageDraw

from pipelines.tiny.scenes import COLOURS, SHAPES, Item, Scene

Point = tuple[float, float]


def render(scene: Scene) -> tuple[Image.Image, Image.Image]:
    """Return the RGB image and its mask (mode L: 0 background, 1 + index into SHAPES on objects)."""
    rng = np.random.default_rng(scene.pixel_seed)
    scale = 2
    canvas = _background(scene.background, scene.size, rng).resize((scene.size * scale,) * 2)
    mask = Image.new("L", canvas.size, 0)
    for item in scene.items:
        _draw_item(canvas, mask, item, scale, rng)
    pixels = np.asarray(canvas.reduce(scale), dtype=np.int16)
    noisy = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy), mask.resize((scene.size,) * 2, Image.Resampling.NEAREST)


def jpeg_bytes(image: Image.Image, quality: int = 92) -> bytes:
    """Encode as JPEG without chroma subsampling, so that small coloured objects keep their colour."""
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
    _draw_shape(ImageDraw.Draw(stamp), item.shape, colour, side)
    stamp = stamp.rotate(item.tilt, Image.Resampling.BILINEAR)
    corner = (int(item.x * scale - side / 2), int(item.y * scale - side / 2))
    canvas.paste(stamp, corner, stamp)
    solid = stamp.getchannel("A").point(lambda alpha: 255 if alpha > 127 else 0)
    mask.paste(1 + SHAPES.index(item.shape), corner, solid)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, colour: tuple[int, ...], side: int) -> None:
    dark = tuple(int(v * 0.72) for v in colour)
    line = (60, 60, 64) if sum(colour) > 150 else (170, 170, 176)
    width = max(2, side // 40)

    def at(*points: Point) -> list[Point]:
        return [(side * (0.5 + 0.44 * x), side * (0.5 + 0.44 * y)) for x, y in points]

    def polygon(*points: Point, fill: tuple[int, ...] = colour) -> None:
        draw.polygon(at(*points), fill=fill, outline=line, width=width)

    def ellipse(x0: float, y0: float, x1: float, y1: float, fill: tuple[int, ...] = colour) -> None:
        (a, b), (c, d) = at((x0, y0), (x1, y1))
        draw.ellipse((a, b, c, d), fill=fill, outline=line, width=width)

    def rectangle(x0: float, y0: float, x1: float, y1: float, fill: tuple[int, ...]) -> None:
        polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1), fill=fill)

    if shape == "circle":
        ellipse(-0.9, -0.9, 0.9, 0.9)
    elif shape == "square":
        rectangle(-0.8, -0.8, 0.8, 0.8, colour)
    elif shape == "triangle":
        polygon((0, -0.95), (0.95, 0.8), (-0.95, 0.8))
    elif shape == "star":
        polygon(*_star())
    elif shape == "heart":
        polygon(*_heart())
    elif shape == "cross":
        a, b = 0.3, 0.95
        polygon(
            (-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a),
            (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a),
        )  # fmt: skip
    elif shape == "ring":
        (x0, y0), (x1, y1) = at((-0.95, -0.95), (0.95, 0.95))
        draw.ellipse((x0, y0, x1, y1), outline=colour, width=int(side * 0.16))
        draw.ellipse((x0, y0, x1, y1), outline=line, width=width)
    elif shape == "moon":
        polygon(*_moon())
    elif shape == "arrow":
        polygon(
            (-0.95, -0.25), (0.1, -0.25), (0.1, -0.75), (0.95, 0),
            (0.1, 0.75), (0.1, 0.25), (-0.95, 0.25),
        )  # fmt: skip
    elif shape == "car":
        polygon((-0.5, -0.1), (-0.3, -0.6), (0.35, -0.6), (0.6, -0.1), fill=dark)
        rectangle(-1.0, -0.12, 1.0, 0.4, colour)
        rectangle(-0.22, -0.48, 0.02, -0.14, (190, 225, 240))
        rectangle(0.1, -0.48, 0.36, -0.14, (190, 225, 240))
        for x in (-0.55, 0.55):
            ellipse(x - 0.26, 0.18, x + 0.26, 0.70, fill=(50, 50, 54))
            ellipse(x - 0.1, 0.34, x + 0.1, 0.54, fill=(200, 200, 204))
    elif shape == "house":
        rectangle(-0.7, -0.1, 0.7, 0.9, colour)
        polygon((-0.95, -0.1), (0, -0.95), (0.95, -0.1), fill=dark)
        rectangle(-0.16, 0.35, 0.16, 0.9, (90, 90, 96))
        rectangle(-0.55, 0.1, -0.28, 0.4, (190, 225, 240))
        rectangle(0.28, 0.1, 0.55, 0.4, (190, 225, 240))
    else:
        rectangle(-0.13, 0.2, 0.13, 0.95, (96, 96, 100))
        for x, y in ((-0.38, 0.0), (0.38, 0.0), (0.0, -0.42)):
            ellipse(x - 0.5, y - 0.45, x + 0.5, y + 0.45)
        (x0, y0), (x1, y1) = at((-0.45, -0.5), (0.45, 0.3))
        draw.ellipse((x0, y0, x1, y1), fill=colour)


def _star() -> list[Point]:
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]


def _heart() -> list[Point]:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _moon() -> list[Point]:
    outer = np.linspace(np.radians(50), np.radians(310), 32)
    tip_x, tip_y, centre = np.cos(outer[0]), np.sin(outer[0]), 0.55
    radius, start = np.hypot(tip_x - centre, tip_y), np.arctan2(tip_y, tip_x - centre)
    inner = np.linspace(-start, start - 2 * np.pi, 32)
    points = [(np.cos(a), np.sin(a)) for a in outer]
    points += [(centre + radius * np.cos(a), radius * np.sin(a)) for a in inner]
    return [(float(x) + 0.1, float(y)) for x, y in points]


def _background(name: str, size: int, rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[0:size, 0:size] * (128 / size)
    grain = rng.normal(0, 1, (size, size))
    if name == "grass":
        base = _mix((70, 120, 40), (120, 165, 75), 0.5 + 0.35 * np.sin(x * 1.7 + 2 * grain) + 0.1 * grain)
    elif name == "sand":
        base = _mix((205, 180, 130), (232, 212, 168), 0.5 + 0.4 * np.sin(y / 5 + np.sin(x / 16 + rng.uniform(0, 6)) * 2) + 0.12 * grain)
    elif name == "sea":
        base = _mix((20, 100, 140), (120, 195, 210), 0.4 + 0.4 * np.sin(y / 3 + np.sin(x / 7 + rng.uniform(0, 6))) + 0.06 * grain)
    elif name == "brick":
        row = np.floor(y / 12)
        mortar = (y % 12 < 1.6) | ((x + 12 * (row % 2)) % 24 < 1.6)
        base = _mix((150, 78, 62), (176, 100, 80), 0.5 + 0.15 * grain)
        base[mortar] = (205, 198, 188)
    elif name == "night":
        base = _mix((14, 16, 44), (34, 34, 78), y / 128 + 0.05 * grain)
        base[rng.random((size, size)) < 0.012] = (235, 235, 215)
    else:
        base = _mix((214, 224, 236), (240, 244, 250), 0.5 + 0.25 * np.sin(x / 19 + y / 23) + 0.1 * grain)
        base[rng.random((size, size)) < 0.03] = (180, 196, 220)
    light = rng.uniform(0.88, 1.08)
    return Image.fromarray(np.clip(base * light, 0, 255).astype(np.uint8))


def _mix(low: tuple[int, int, int], high: tuple[int, int, int], amount: np.ndarray) -> np.ndarray:
    amount = np.clip(amount, 0, 1)[..., None]
    return np.asarray(low) * (1 - amount) + np.asarray(high) * amount

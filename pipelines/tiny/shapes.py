"""The twelve shapes, drawn in the square from -1 to 1."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, ...]
GLASS = (190, 225, 240)


@dataclass(frozen=True)
class Pen:
    """Draws outlined figures on a stamp of `side` pixels, in one colour unless told otherwise."""

    draw: ImageDraw.ImageDraw
    colour: Colour
    side: int

    @property
    def dark(self) -> Colour:
        """A darker tone of the colour."""
        return tuple(int(v * 0.72) for v in self.colour)

    @property
    def line(self) -> Colour:
        """The outline: dark on light colours, light on black."""
        return (60, 60, 64) if sum(self.colour) > 150 else (170, 170, 176)

    def at(self, *points: Point) -> list[Point]:
        """Coordinates from -1..1 to pixels."""
        return [(self.side * (0.5 + 0.44 * x), self.side * (0.5 + 0.44 * y)) for x, y in points]

    def polygon(self, *points: Point, fill: Colour | None = None) -> None:
        """A filled polygon."""
        width = max(2, self.side // 40)
        self.draw.polygon(self.at(*points), fill or self.colour, self.line, width)

    def ellipse(self, box: tuple[float, ...], fill: Colour | None = None) -> None:
        """A filled ellipse in the box x0, y0, x1, y1."""
        (x0, y0), (x1, y1) = self.at((box[0], box[1]), (box[2], box[3]))
        width = max(2, self.side // 40)
        self.draw.ellipse((x0, y0, x1, y1), fill or self.colour, self.line, width)

    def rectangle(self, box: tuple[float, ...], fill: Colour | None = None) -> None:
        """A filled rectangle with the corners x0, y0 and x1, y1."""
        x0, y0, x1, y1 = box
        self.polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1), fill=fill)


def draw_shape(pen: Pen, shape: str) -> None:
    """Draw one of `scenes.SHAPES`."""
    if shape in FIGURES:
        FIGURES[shape](pen)
    else:
        pen.polygon(*POLYGONS[shape])


def _ring(pen: Pen) -> None:
    (x0, y0), (x1, y1) = pen.at((-0.95, -0.95), (0.95, 0.95))
    pen.draw.ellipse((x0, y0, x1, y1), outline=pen.colour, width=int(pen.side * 0.16))
    pen.draw.ellipse((x0, y0, x1, y1), outline=pen.line, width=max(2, pen.side // 40))


def _car(pen: Pen) -> None:
    pen.polygon((-0.5, -0.1), (-0.3, -0.6), (0.35, -0.6), (0.6, -0.1), fill=pen.dark)
    pen.rectangle((-1.0, -0.12, 1.0, 0.4))
    pen.rectangle((-0.22, -0.48, 0.02, -0.14), GLASS)
    pen.rectangle((0.1, -0.48, 0.36, -0.14), GLASS)
    for x in (-0.55, 0.55):
        pen.ellipse((x - 0.26, 0.18, x + 0.26, 0.70), (50, 50, 54))
        pen.ellipse((x - 0.1, 0.34, x + 0.1, 0.54), (200, 200, 204))


def _house(pen: Pen) -> None:
    pen.rectangle((-0.7, -0.1, 0.7, 0.9))
    pen.polygon((-0.95, -0.1), (0, -0.95), (0.95, -0.1), fill=pen.dark)
    pen.rectangle((-0.16, 0.35, 0.16, 0.9), (90, 90, 96))
    pen.rectangle((-0.55, 0.1, -0.28, 0.4), GLASS)
    pen.rectangle((0.28, 0.1, 0.55, 0.4), GLASS)


def _tree(pen: Pen) -> None:
    pen.rectangle((-0.13, 0.2, 0.13, 0.95), (96, 96, 100))
    for x, y in ((-0.38, 0.0), (0.38, 0.0), (0.0, -0.42)):
        pen.ellipse((x - 0.5, y - 0.45, x + 0.5, y + 0.45))
    (x0, y0), (x1, y1) = pen.at((-0.45, -0.5), (0.45, 0.3))
    pen.draw.ellipse((x0, y0, x1, y1), fill=pen.colour)


def _star() -> list[Point]:
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    return [
        (float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)
    ]


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


FIGURES: dict[str, Callable[[Pen], None]] = {
    "circle": lambda pen: pen.ellipse((-0.9, -0.9, 0.9, 0.9)),
    "square": lambda pen: pen.rectangle((-0.8, -0.8, 0.8, 0.8)),
    "ring": _ring,
    "car": _car,
    "house": _house,
    "tree": _tree,
}
POLYGONS: dict[str, list[Point]] = {
    "triangle": [(0, -0.95), (0.95, 0.8), (-0.95, 0.8)],
    "star": _star(),
    "heart": _heart(),
    "cross": [
        (-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3),
        (0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3),
    ],
    "moon": _moon(),
    "arrow": [
        (-0.95, -0.25), (0.1, -0.25), (0.1, -0.75), (0.95, 0),
        (0.1, 0.75), (0.1, 0.25), (-0.95, 0.25),
    ],
}  # fmt: skip

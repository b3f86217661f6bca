"""Seeded scenes with known truth: what is in each image, where, and which statements about it hold.

A scene is one or two coloured shapes, or as many as are asked for, on a textured background.
Everything about scene `index` of `seed` follows from these two numbers alone, so any split into
shards gives the same images.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.errors import UsageError

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 36),
    "orange": (245, 130, 20),
    "yellow": (250, 222, 30),
    "green": (30, 160, 60),
    "blue": (35, 80, 215),
    "purple": (125, 40, 170),
    "pink": (250, 130, 185),
    "brown": (120, 72, 30),
    "black": (20, 20, 22),
    "white": (248, 248, 248),
}
SHAPES = (
    "circle", "square", "triangle", "star", "heart", "cross",
    "ring", "moon", "arrow", "car", "house", "tree",
)  # fmt: skip
BACKGROUNDS = ("grass", "sand", "sea", "brick", "night", "snow")
ATTRIBUTES = (*COLOURS, *SHAPES, *BACKGROUNDS)
PARTS = (*SHAPES, *BACKGROUNDS)
"""What a pixel can belong to: the classes of the masks."""
THINGS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""What a scene of one object can show: its classes, for zero-shot classification."""
MOST_OBJECTS = 8
SOURCES = ("web", "phone", "studio")
YEARS = tuple(range(2019, 2025))


@dataclass(frozen=True)
class Item:
    """One object: its shape and colour by name, its centre, radius (pixels) and tilt (degrees)."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    tilt: float


@dataclass(frozen=True)
class Scene:
    """One image's truth, before any pixel is drawn."""

    index: int
    size: int
    items: tuple[Item, ...]
    background: str
    year: int
    source: str
    pixel_seed: int

    def attributes(self) -> dict[str, bool]:
        """One boolean per colour, shape and background (`ATTRIBUTES` in order)."""
        present = {self.background}
        for item in self.items:
            present |= {item.colour, item.shape}
        return {name: name in present for name in ATTRIBUTES}


def weights(names: tuple[str, ...], boost: dict[str, float]) -> np.ndarray:
    """Sampling probabilities of one family of attributes; a boost multiplies before normalising."""
    raw = np.array([boost.get(name, 1.0) for name in names])
    return raw / raw.sum()


def parse_boost(text: str) -> dict[str, float]:
    """`"yellow=3,car=2"` → {"yellow": 3.0, "car": 2.0}; raises ValueError with a sentence."""
    boost: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, factor = part.partition("=")
        if name not in ATTRIBUTES:
            raise ValueError(f"boost names '{name}', but scenes have only: {', '.join(ATTRIBUTES)}")
        try:
            boost[name] = float(factor)
        except ValueError:
            raise ValueError(
                f"boost '{part}' is not of the form name=factor, e.g. yellow=3"
            ) from None
        if not 0 <= boost[name] < np.inf:
            raise ValueError(f"boost '{part}' must be a finite factor of at least 0")
    return boost


def sample_scene(
    seed: int,
    index: int,
    boost: dict[str, float] | None = None,
    size: int = 128,
    objects: int | None = None,
) -> Scene:
    """Scene `index` of `seed`; `objects` fixes the number of objects (one or two by default).

    Four objects at size 256 are as large in pixels as a single one at size 128.

    Raises UsageError for a number of objects that a scene does not hold.
    """
    if objects is not None and not 1 <= objects <= MOST_OBJECTS:
        raise UsageError(f"a scene holds 1 to {MOST_OBJECTS} objects, not {objects}")
    rng = np.random.default_rng([seed, index])
    boost = boost or {}
    count = objects or int(rng.integers(1, 3))
    items: list[Item] = []
    for _ in range(count):
        shape = rng.choice(SHAPES, p=weights(SHAPES, boost))
        colour = rng.choice(tuple(COLOURS), p=weights(tuple(COLOURS), boost))
        items.append(_place(rng, str(shape), str(colour), items, count, size))
    return Scene(
        index=index,
        size=size,
        items=tuple(items),
        background=str(rng.choice(BACKGROUNDS, p=weights(BACKGROUNDS, boost))),
        year=int(rng.choice(YEARS)),
        source=str(rng.choice(SOURCES)),
        pixel_seed=int(rng.integers(2**31)),
    )


def _place(
    rng: np.random.Generator, shape: str, colour: str, placed: list[Item], count: int, size: int
) -> Item:
    low, high = (0.16, 0.23) if count == 2 else (0.20 / count**0.5, 0.34 / count**0.5)
    for _ in range(50 if count <= 2 else 1000):
        radius = size * rng.uniform(low, high)
        x, y = rng.uniform(radius, size - radius, 2)
        if all(np.hypot(x - o.x, y - o.y) > 0.95 * (radius + o.radius) for o in placed):
            break
    return Item(shape, colour, float(x), float(y), float(radius), float(rng.uniform(-15, 15)))

"""Values of an atlas from a seed, with real small JPEGs: what `pipelines.atlas.site` shows."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipelines.atlas.model import (
    About,
    HeadPart,
    Histogram,
    Label,
    NearNeuron,
    Neighbour,
    NeuronPage,
    PairPage,
    Tile,
)
from pipelines.tiny.scenes import BACKGROUNDS, COLOURS, SHAPES

GRID = 7
NAMES = (*COLOURS, *SHAPES, *BACKGROUNDS)
POWERS = tuple(2.0**k for k in range(-16, 8))
EDGES = (*(-x for x in reversed(POWERS)), 0.0, *POWERS)


class Values:
    """Pairs and neurons of a model of 8 heads; every value follows from `seed`."""

    def __init__(
        self, seed: int = 0, pairs: int = 40, neurons: int = 6, runs: int = 1, pool: int = 64
    ) -> None:
        self.seed, self.heads, self.width = seed, 8, max(16, pairs // 4)
        random = np.random.default_rng(seed)
        chosen = random.choice(self.heads * self.width, pairs, replace=False)
        self.chosen = [int(pair) for pair in chosen]
        self.top_neurons = sorted({pair % self.width for pair in self.chosen})[:neurons]
        self.runs = ("baseline", "current")[:runs]
        self.jpegs = {_name(data): data for data in (_jpeg(random) for _ in range(pool))}
        self.files = sorted(self.jpegs)

    def write_images(self, out: Path) -> None:
        """What the job writes beside the site."""
        (out / "images").mkdir(parents=True, exist_ok=True)
        for name, data in self.jpegs.items():
            (out / "images" / name).write_bytes(data)

    def about(self, **changes: object) -> About:
        """The front page's values."""
        given = {
            "runs": self.runs,
            "images": (2500, 2400)[: len(self.runs)],
            "heads": self.heads,
            "neurons": self.width,
            "grid": GRID,
            "labels": NAMES,
            "concepts": NAMES,
            "missing": 0,
            "provenance": {"run": "runs/baseline", "model": "tiny", "weights_sha256": "ca606a3c"},
        }
        return About(**{**given, **changes})  # type: ignore[arg-type]

    def pairs(self) -> Iterator[PairPage]:
        """Pages of pairs, not in the order of their rank."""
        for i, pair in enumerate(self.chosen):
            yield self._pair(np.random.default_rng((self.seed, pair)), pair, i)

    def neurons(self) -> Iterator[NeuronPage]:
        """Pages of neurons."""
        for i, neuron in enumerate(self.top_neurons):
            random = np.random.default_rng((self.seed, 1, neuron))
            shares = -np.sort(-random.dirichlet(np.ones(self.heads)) + 0.02)
            parts = tuple(
                HeadPart(
                    int(head * self.width + neuron),
                    int(head),
                    float(share),
                    self._words(random, 4),
                    1,
                    self._tiles(random, 8) if j < 4 else (),
                    self._labels(random)[:3],
                )
                for j, (head, share) in enumerate(
                    zip(random.permutation(self.heads), shares, strict=True)
                )
            )
            words, numbers = self._words(random, 5), random.random(5).tolist()
            tiles = self._tiles(random, 8)
            near = tuple(
                NearNeuron(other, 0.9, self._words(random, 3))
                for other in (*self.top_neurons, self.width)
                if other != neuron
            )
            yield NeuronPage(
                neuron, i + 1, words, *numbers, parts, tiles, self._labels(random), near
            )

    def _pair(self, random: np.random.Generator, pair: int, i: int) -> PairPage:
        words = self._words(random, 5)
        sign = 1 if random.random() < 0.8 else -1
        labels = self._labels(random)
        near = tuple(
            Neighbour(int(n), float(x), self._words(random, 3))
            for n, x in zip(
                random.integers(0, self.heads * self.width, 8),
                np.sort(random.random(8))[::-1],
                strict=True,
            )
        )
        code = tuple(
            zip(self._words(random, 10), random.normal(0.2, 0.2, 10).tolist(), strict=True)
        )
        importance, mean, std, norm, *more = random.random(8).tolist()
        return PairPage(
            pair=pair,
            head=pair // self.width,
            neuron=pair % self.width,
            sign=sign,
            rank=i * 2 + 1,
            words=words,
            code=code,
            importance=importance,
            mean=mean,
            std=std,
            direction_norm=norm,
            inertia=more[0] * 5,
            clarity=more[1],
            polysemanticity=more[2],
            share=more[3],
            follows=(words[0], float(random.uniform(-0.9, 0.9))),
            labels=labels,
            largest=self._tiles(random, 8),
            smallest=self._tiles(random, 8),
            neighbours=near,
            histograms=tuple(_histogram(random, run) for run in self.runs),
        )

    def _words(self, random: np.random.Generator, count: int) -> tuple[str, ...]:
        return tuple(str(word) for word in random.choice(NAMES, count, replace=False))

    def _labels(self, random: np.random.Generator) -> tuple[Label, ...]:
        r = np.sort(random.uniform(0, 0.9, len(NAMES)))[::-1] * random.choice((-1, 1), len(NAMES))
        order = random.permutation(len(NAMES))
        return tuple(Label(NAMES[k], float(x)) for k, x in zip(order, r, strict=True))

    def _tiles(self, random: np.random.Generator, count: int) -> tuple[Tile, ...]:
        y, x = np.mgrid[:GRID, :GRID]
        tiles = []
        for value in np.sort(random.random(count))[::-1]:
            far = (x - random.integers(GRID)) ** 2 + (y - random.integers(GRID)) ** 2
            heat = (255 * np.exp(-far / 3) * value).astype(np.uint8).tobytes()
            image = self.files[random.integers(len(self.files))]
            key = f"{random.integers(2500):06d}"
            tiles.append(Tile("scenes-000000", key, float(value), image, heat, float(value) * 0.1))
        return tuple(tiles)


def _histogram(random: np.random.Generator, run: str) -> Histogram:
    values = random.normal(random.normal(0, 0.2), random.uniform(0.05, 0.5), 1000)
    counts = np.histogram(values, EDGES)[0]
    return Histogram(
        run, tuple(int(n) for n in counts), EDGES, float(values.mean()), float(values.std())
    )


def _jpeg(random: np.random.Generator) -> bytes:
    ground, colour = (tuple(random.integers(0, 255, 3).tolist()) for _ in range(2))
    image = Image.new("RGB", (96, 96), ground)
    x, y, r = random.integers(20, 76), random.integers(20, 76), random.integers(8, 24)
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() + ".jpg"

"""The worker that reads exemplars again: a thumbnail of each, and where each of its rows looks."""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nhd_ops import attention_pool
from nhd_ops.spatial_maps import Attended, SpatialMaps, attended, neuron_maps_of, pair_maps
from nhd_ops.trunk import Trunk
from pipelines.atlas.rows import NEURON, Item, Showing
from pipelines.io.files import atomic_write, sha256
from pipelines.io.images import Decoded
from pipelines.io.preprocess import stacked
from pipelines.io.shards import shard_id
from pipelines.io.stream import Clock, batches
from pipelines.model_spec import How, ModelSpec
from pipelines.models import load_model
from pipelines.run import log
from pipelines.run.cores import decode_threads
from pipelines.run.runner import Done

SIDE, QUALITY = 160, 82  # pixels, and of the JPEG
FEWEST = 16  # images at once; for fewer, oneDNN sums in an order that depends on the threads
MAPS_AT_ONCE = 1024  # on RN50x16, with a map for each of a neuron's 48 heads, 29 MB


@dataclass(frozen=True)
class Settings:
    """What every worker needs to know."""

    out: str
    model: ModelSpec
    preprocess: How
    batch_size: int
    device: str
    decode_threads: int = 0


class Shown(NamedTuple):
    """What came of one showing."""

    showing: Showing
    image: str
    """The file of its thumbnail, named by its SHA-256."""
    grid: np.ndarray
    """[g²] fp32, what each place adds, in units of the showing's value."""
    mean: float
    """What token 0 adds."""


Listed = tuple[int, Showing]
"""The place of its image in the batch, and the showing."""
Look = Callable[[Attended, Tensor, Tensor], SpatialMaps]
"""Maps [N,g,g] and [N] of images and units [N]."""


class Finished(NamedTuple):
    """A shard's showings; images that could not be decoded are not among them."""

    item: Item
    shown: list[Shown]


class Tiler:
    """A worker: holds the model. Built once per process."""

    def __init__(self, settings: Settings) -> None:
        spec = settings.model
        loaded = load_model(
            spec.name, spec.pretrained, spec.checkpoint, settings.device, settings.preprocess
        )
        self.settings, self.pixels = settings, loaded.pixels
        self.trunk = Trunk(loaded.model.visual)
        self.pool = attention_pool.attention_pool_of(loaded.model.visual)
        self.directions = attention_pool.directions_of(self.pool).to(dtype=torch.float64)
        self.norms = self.directions.norms().flatten()
        self.threads = ThreadPoolExecutor(decode_threads(settings.decode_threads))
        self.clock = Clock()
        self.images = self.rejected = 0

    def describe(self) -> dict[str, Any]:
        """Nothing that the driver does not know."""
        return {}

    def progress(self) -> dict[str, Any]:
        """Running totals since this worker started."""
        seconds = dict(self.clock.seconds)
        return {"images": self.images, "rejects": self.rejected, "seconds": seconds, "notes": []}

    def work(self, item: Item) -> Done:
        """Write the thumbnails of a shard's exemplars and return their maps.

        Raises ShardError where the shard cannot be read.
        """
        with log.shard(shard_id(item.url)) as counts:
            shown = self._shown(item)
            counts["shown"] = len(shown)
        return Done(Finished(item, shown))

    def _shown(self, item: Item) -> list[Shown]:
        wanted: dict[str, list[Showing]] = {}
        for showing in item.showings:
            wanted.setdefault(showing.key, []).append(showing)
        shown: list[Shown] = []
        size, how = self.settings.batch_size, self.pixels
        stream = batches(item.url, how, size, self.threads, self.clock, wanted)
        with torch.inference_mode(), closing(stream):
            for found in stream:
                good = [one for one in found if isinstance(one, Decoded)]
                self.images += len(good)
                self.rejected += len(found) - len(good)
                if good:
                    shown += self._batch(good, [wanted[one.sample.key] for one in good])
        return shown

    def _batch(self, images: list[Decoded], wanted: list[list[Showing]]) -> list[Shown]:
        names = self.threads.map(self._thumbnail, [image.pixels for image in images])
        start = time.perf_counter()
        filled = [images[i % len(images)].pixels for i in range(max(len(images), FEWEST))]
        pixels = stacked(filled).to(self.settings.device)
        features = self.trunk(self.pixels.normalise(pixels))[: len(images)]
        # Sums in fp32 depend on how many threads share them; of these, no bit that is kept does.
        seen = attended(self.pool, features.double())
        listed = [(i, showing) for i, each in enumerate(wanted) for showing in each]
        neurons = [one for one in listed if one[1].kind == NEURON]
        pairs = [one for one in listed if one[1].kind != NEURON]
        found = [
            *self._maps(seen, pairs, self._of_pairs),
            *self._maps(seen, neurons, self._of_neurons),
        ]
        self.clock.add("forward", start)
        made = list(names)
        return [Shown(showing, made[i], grid, mean) for (i, showing), grid, mean in found]

    def _maps(
        self, seen: Attended, listed: list[Listed], of: Look
    ) -> Iterator[tuple[Listed, np.ndarray, float]]:
        """The map of each showing, its image given by its place in the batch."""
        device = self.settings.device
        for start in range(0, len(listed), MAPS_AT_ONCE):
            block = listed[start : start + MAPS_AT_ONCE]
            images = torch.tensor([i for i, _ in block], device=device)
            units = torch.tensor([showing.unit for _, showing in block], device=device)
            maps = of(seen, images, units)
            grids, means = maps.grid.flatten(1).float().cpu().numpy(), maps.mean.tolist()
            yield from zip(block, grids, means, strict=True)

    def _of_pairs(self, seen: Attended, images: Tensor, pairs: Tensor) -> SpatialMaps:
        maps, norms = pair_maps(seen, images, pairs), self.norms[pairs]
        return SpatialMaps(maps.grid * norms[:, None, None], maps.mean * norms)

    def _of_neurons(self, seen: Attended, images: Tensor, neurons: Tensor) -> SpatialMaps:
        each, where = neurons.unique(return_inverse=True)
        return neuron_maps_of(seen, images, neurons, self.directions.neuron_gram(each)[where])

    def _thumbnail(self, pixels: Tensor) -> str:
        """Write what the model saw, uint8 [3,S,S], as a small JPEG; return its name."""
        start = time.perf_counter()
        picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
        name = f"{sha256(buffer.getvalue())}.jpg"
        atomic_write(f"{self.settings.out}/images/{name}", buffer.getvalue())
        self.clock.add("write", start)
        return name

"""A full decomposition of a batch, against the model's own embedding of it.

Ours makes everything that extraction writes: rows with the 256 largest pairs and the scores of 20
concepts, and moments with extremes and one label. The other side is given its pixels ready.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nhd_ops import attention_pool
from nhd_ops.accumulator import Accumulator
from pipelines.bench.paired import interleaved, speed
from pipelines.bench.result import Result
from pipelines.extract.decomposer import Decomposer
from pipelines.extract.measurer import Measurer
from pipelines.extract.settings import Settings
from pipelines.io.images import Decoded
from pipelines.io.shards import Sample
from pipelines.model_spec import ModelSpec
from pipelines.models import DTYPES, load_model

CONCEPTS = tuple(f"a photo of number {number}" for number in range(20))
ROUNDS = 5


@dataclass(frozen=True)
class Setup:
    """What is measured, and where."""

    model: str = "RN50"
    dtype: str = "float32"
    device: str = "cpu"
    batch: int = 32
    batches: int = 2
    """Per repetition; moments are taken once in each, which is more often than extraction does."""
    concepts: tuple[str, ...] = CONCEPTS


def measure(folder: str, seed: int) -> list[Result]:
    """RN50 in fp32 on the CPU, with random weights: what they are makes no difference here."""
    setup = Setup()
    ways = contenders(setup, seed)
    times = interleaved(ways, ROUNDS)
    images = setup.batch * setup.batches
    against = [("encode_image", 1.0), ("encode_image, channels last", None)]
    rows = [
        speed(f"compute: {_name(setup)}", times, "decomposition", other, images, "images/s", least)
        for other, least in against
    ]
    return [*rows, *_pooling(setup, seed)]


def _name(setup: Setup) -> str:
    return f"{setup.model}, {setup.dtype}, {setup.device}, batches of {setup.batch}"


def contenders(setup: Setup, seed: int) -> dict[str, Callable[[], Any]]:
    """Ours and the model's own, on the same images."""
    loaded = load_model(setup.model, "none", device=setup.device)
    decomposer = Decomposer(loaded, setup.concepts, 5, setup.dtype, setup.device)
    measurer = Measurer(decomposer, settings_for(setup))
    measurer.accumulator = Accumulator(decomposer.geometry, setup.batch * setup.batches)
    visual = copy.deepcopy(loaded.model.visual).to(DTYPES[setup.dtype])
    last = copy.deepcopy(visual).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(seed)
    side = loaded.pixels.size
    items = [_item(i, side, generator) for i in range(setup.batch)]
    pixels = loaded.pixels.normalise(torch.stack([item.pixels for item in items]))
    ready = pixels.to(setup.device, DTYPES[setup.dtype]).contiguous()
    ready_last = ready.contiguous(memory_format=torch.channels_last)
    return {
        "decomposition": partial(_decompose, measurer, items, setup.batches),
        "encode_image": partial(_encode, visual, ready, setup.batches),
        "encode_image, channels last": partial(_encode, last, ready_last, setup.batches),
    }


def settings_for(setup: Setup) -> Settings:
    """What a worker would be told; it writes nowhere."""
    return Settings(
        out="",
        model=ModelSpec(setup.model, "none"),
        concepts=setup.concepts,
        pairs_per_concept=5,
        columns={"label": "bool"},
        labels=("label",),
        bucket=None,
        top_pairs=256,
        keep="sparse",
        dtype=setup.dtype,
        batch_size=setup.batch,
        device=setup.device,
        decode_threads=1,
        preprocess="fast",
    )


def _item(index: int, side: int, generator: torch.Generator) -> Decoded:
    pixels = torch.randint(0, 256, (side, side, 3), generator=generator, dtype=torch.uint8)
    sample = Sample(f"{index:06d}", b"", "{}", {"label": index % 2})
    return Decoded(sample, pixels.permute(2, 0, 1), side, side)


def _decompose(measurer: Measurer, items: list[Decoded], batches: int) -> None:
    first = 0
    for _ in range(batches):
        for found in measurer.measure(list(items), first):
            first += len(found.rows.samples) if found.rows is not None else 0
    measurer.accumulator.settle()


def _encode(visual: torch.nn.Module, pixels: Tensor, batches: int) -> None:
    with torch.inference_mode():
        for _ in range(batches):
            visual(pixels)


def _pooling(setup: Setup, seed: int) -> list[Result]:
    """The pool alone: coefficients and embedding, against the stock pool."""
    visual = load_model(setup.model, "none", device=setup.device).model.visual
    pool = attention_pool.attention_pool_of(visual)
    directions = attention_pool.directions_of(pool)
    cells = pool.positional_embedding.shape[0] - 1
    shape = (setup.batch, directions.neurons, int(cells**0.5), int(cells**0.5))
    features = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).relu_()

    def ours() -> None:
        with torch.inference_mode():
            directions.total(attention_pool.coefficients(pool, features))

    ways: dict[str, Callable[[], Any]] = {}
    ways |= {"ours": ours, "the stock pool": partial(_encode, visual.attnpool, features, 1)}
    times = interleaved(ways, 4 * ROUNDS)
    name = f"compute: attention pool alone, {setup.model}"
    return [speed(name, times, "ours", "the stock pool", setup.batch, "images/s")]

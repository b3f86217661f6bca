"""Stand-ins of RN50x16's size: coefficients, directions, rows and moments with no model behind.

The weights cannot be had everywhere and take minutes per thousand images on a CPU. What is measured
on these depends on their shapes and on how their numbers are distributed, not on what they mean.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from nhd_ops import concepts, moments
from nhd_ops.contributions import Directions
from nhd_ops.geometry import Geometry, geometry_of
from pipelines.io import rows
from pipelines.io.shards import Sample

HEADS, NEURONS, HEAD_WIDTH, WIDTH = 48, 3072, 64, 768
PAIRS = HEADS * NEURONS
TOP_PAIRS = 256
CONCEPTS = 20
PUBLISHED = 4 * PAIRS * WIDTH
"""Bytes per image of the published pipeline, which stores every contribution [H,C,D] in fp32."""
AT_ONCE = 50  # images


@cache
def geometry() -> Geometry:
    """Random directions, and what follows from them."""
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(HEADS, HEAD_WIDTH, NEURONS, generator=generator) / NEURONS**0.5
    output = torch.randn(HEADS, WIDTH, HEAD_WIDTH, generator=generator) / WIDTH**0.5
    bias = torch.zeros(HEADS, HEAD_WIDTH)
    return geometry_of(Directions(value, output, bias, torch.zeros(WIDTH)))


def coefficients(images: int, generator: torch.Generator) -> Tensor:
    """[B,H,C]: a neuron's activation, zero for most images and heavy-tailed, times what each head
    makes of it; and a little of the position embedding, which has either sign.
    """
    active = torch.rand(images, 1, NEURONS, generator=generator) < 0.2
    strength = torch.empty(images, 1, NEURONS).exponential_(generator=generator)
    attended = torch.empty(images, HEADS, NEURONS).exponential_(generator=generator)
    position = 0.02 * torch.randn(HEADS, NEURONS, generator=torch.Generator().manual_seed(2))
    return active * strength * attended + position


def batches(images: int, seed: int) -> Iterator[rows.Batch]:
    """Rows of `images` images, as extraction makes them."""
    generator = torch.Generator().manual_seed(seed)
    norms = geometry().norms.flatten()
    for start in range(0, images, AT_ONCE):
        count = min(AT_ONCE, images - start)
        signed = coefficients(count, generator).flatten(1) * norms  # [B,H·C]
        kept, pairs = signed.abs().topk(TOP_PAIRS, dim=1)
        yield rows.Batch(
            samples=[_sample(i) for i in range(start, start + count)],
            sizes=[(640, 480)] * count,
            embedding=torch.randn(count, WIDTH, generator=generator),
            pairs=pairs.int(),
            coefficients=signed.gather(1, pairs).half().float(),
            norm_total=signed.abs().sum(1),
            norm_kept=kept.sum(1),
            measures=concepts.Measures(
                *(torch.randn(count, CONCEPTS, generator=generator) for _ in range(3))
            ),
            dense=None,
        )


def _sample(index: int) -> Sample:
    name = hashlib.sha256(str(index).encode()).hexdigest()[:32]  # as good as random
    fields = {"year": 2015 + index % 10, "source": f"https://example.org/{name}.jpg"}
    return Sample(f"{index:09d}", b"", json.dumps(fields), fields)


def layout() -> rows.Layout:
    """The columns of `batches`."""
    return rows.Layout({"year": "int64"}, tuple(f"concept_{q}" for q in range(CONCEPTS)))


def moments_of(images: int, seed: int) -> moments.Moments:
    """Moments of some images; they weigh the same for any number from 50 on."""
    generator = torch.Generator().manual_seed(seed)
    found = coefficients(images, generator)
    similarity = torch.randn(images, CONCEPTS, generator=generator)
    ids = torch.arange(images)
    return moments.moments_of(found, geometry(), ids, similarity=similarity)

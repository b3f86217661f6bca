"""Decoding and preprocessing: ours against open_clip's own transform."""

import io
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipelines.bench.paired import interleaved, quartiles, speed
from pipelines.bench.photographs import photograph
from pipelines.bench.result import Result
from pipelines.io.preprocess import Preprocess, preprocess_of
from pipelines.models import load_model
from pipelines.vision import PreprocessCfg, image_transform_v2

IMAGES, AT_ONCE, ROUNDS = 16, 16, 15
SIZES = (224, 384)  # RN50's and RN50x16's
FASTER, MEAN_DIFFERENCE, COSINE = 2.5, 0.02, 0.9999


def measure(folder: str, seed: int) -> list[Result]:
    """Speed at the sizes of RN50 and RN50x16, on one thread; then how much results differ."""
    files = [photograph(seed + i) for i in range(IMAGES)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        speeds = [found for size in SIZES for found in _speed(size, files)]
    finally:
        torch.set_num_threads(before)
    return [*speeds, *_differences(files)]


def _speed(size: int, files: list[bytes]) -> list[Result]:
    transform = image_transform_v2(PreprocessCfg(size=size), is_train=False)
    ways = {
        "open_clip": lambda data: transform(Image.open(io.BytesIO(data))),
        "exact": partial(_ours, preprocess_of(transform, "exact")),
        "fast": partial(_ours, preprocess_of(transform, "fast")),
    }
    times = interleaved({name: partial(_all, way, files) for name, way in ways.items()}, ROUNDS)
    pixels = f"{len(files[0]) / 1000:.0f} kB JPEGs of 640 x 480 to {size}"
    return [
        speed(f"decode: {pixels}, {way}", times, way, "open_clip", AT_ONCE, "images/s", least)
        for way, least in (("fast", FASTER), ("exact", None))
    ]


def _ours(preprocess: Preprocess, data: bytes) -> Tensor:
    pixels = preprocess(Image.open(io.BytesIO(data)), data)
    return preprocess.normalise(pixels[None])


def _all(way: Any, files: list[bytes]) -> None:
    for data in islice(cycle(files), AT_ONCE):
        way(data)


def _differences(files: list[bytes]) -> list[Result]:
    """Of the fast way from the exact one: in pixels, and in what the tiny model makes of them."""
    means = []
    for size in SIZES:
        transform = image_transform_v2(PreprocessCfg(size=size), is_train=False)
        ways = preprocess_of(transform, "fast"), preprocess_of(transform, "exact")
        for data in files:
            fast, exact = (way(Image.open(io.BytesIO(data)), data).float() for way in ways)
            means.append(float((fast - exact).abs().mean()))
    with torch.inference_mode():
        loaded = [load_model("tiny", how=how) for how in ("fast", "exact")]  # type: ignore[arg-type]
        found = [
            torch.cat([m.model.encode_image(_ours(m.pixels, data)) for data in files])
            for m in loaded
        ]
    cosines = torch.cosine_similarity(found[0], found[1]).tolist()
    low, middle, high = quartiles(means)
    return [
        Result(
            name="decode: mean difference of a pixel, fast from exact",
            ours=middle,
            unit="of 255",
            low=low,
            high=high,
            most=MEAN_DIFFERENCE,
        ),
        Result("decode: smallest cosine of embeddings", min(cosines), "", least=COSINE),
    ]

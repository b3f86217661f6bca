"""The images of a unit of work with their masks, decoded, in order; nothing is dropped unsaid."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from pipelines.errors import ShardError
from pipelines.io.files import reason
from pipelines.io.images import opened
from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample, samples
from pipelines.io.stream import Clock, Stream
from pipelines.segment.masks import Ids, check_ids, is_mask, mask_of, read_mask
from pipelines.segment.units import Unit


@dataclass(frozen=True)
class Encoded:
    """An image and its mask (or None) as their files have them."""

    key: str
    image: bytes
    mask: bytes | None


@dataclass(frozen=True)
class Scene:
    """An image in RGB, and the class ids of its pixels: [h,w], -1 where they do not count."""

    key: str
    image: Image.Image
    truth: Ids | None


def scenes(unit: Unit, classes: int, ignore: int, clock: Clock) -> Stream[Scene | Reject]:
    """What a unit holds, in order.

    Raises ShardError if it cannot be read to its end, UsageError for a mask with ids of no class.
    """
    read = _of_files(unit) if unit.files else _of_shard(unit)
    while True:
        start = time.perf_counter()
        found = next(read, None)
        clock.add("read", start)
        if found is None:
            return
        if isinstance(found, Encoded):
            start = time.perf_counter()
            found_scene = _decoded(unit, found, classes, ignore)
            clock.add("decode", start)
            yield found_scene
        else:
            yield found


def _of_files(unit: Unit) -> Iterator[Encoded]:
    for file in unit.files:
        try:
            yield Encoded(file.key, _bytes(file.image), _bytes(file.mask) if file.mask else None)
        except OSError as error:
            raise ShardError(f"{file.image} or its mask cannot be read: {reason(error)}") from error


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _of_shard(unit: Unit) -> Iterator[Encoded | Reject]:
    for sample in samples(unit.url, is_mask):
        yield _masked(sample) if isinstance(sample, Sample) else sample


def _masked(sample: Sample) -> Encoded | Reject:
    try:
        kind = mask_of(sample.others)
    except ValueError as error:
        return Reject(sample.key, "two_masks", str(error))
    return Encoded(sample.key, sample.image, sample.others[kind] if kind else None)


def _decoded(unit: Unit, found: Encoded, classes: int, ignore: int) -> Scene | Reject:
    image = opened(found.key, found.image, lambda image, data: image.convert("RGB"))
    if isinstance(image, Reject) or found.mask is None:
        return image if isinstance(image, Reject) else Scene(found.key, image, None)
    ids = read_mask(found.key, found.mask, image.size)
    if isinstance(ids, Reject):
        return ids
    name = f"{found.key} in {unit.url}"
    return Scene(found.key, image, check_ids(name, ids, classes, ignore))

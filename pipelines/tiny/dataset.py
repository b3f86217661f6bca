"""Write generated scenes as WebDataset shards: JPEG, JSON with the truth, mask as PNG."""

import json
from collections.abc import Iterator
from functools import partial

from pipelines.io import shards
from pipelines.run.cluster import parallel
from pipelines.tiny import drawing
from pipelines.tiny.captions import caption
from pipelines.tiny.scenes import Scene, sample_scene


def write_scenes(
    out: str,
    count: int,
    seed: int,
    boost: dict[str, float] | None = None,
    per_shard: int = 500,
    size: int = 128,
    objects: int | None = None,
    in_process: bool = True,
) -> list[str]:
    """Write `count` scenes as `<out>/scenes-000000.tar`, ...; return the URLs.

    Scene i is the same whatever `per_shard` is; `boost` multiplies the sampling weight of
    attributes, as in {"yellow": 3.0}.
    """
    starts = range(0, count, per_shard)
    urls = [f"{out.rstrip('/')}/scenes-{i:06d}.tar" for i in range(len(starts))]
    make = partial(sample_scene, seed, boost=boost, size=size, objects=objects)
    jobs = [
        (url, range(start, min(count, start + per_shard)))
        for url, start in zip(urls, starts, strict=True)
    ]
    parallel(_write_shard, jobs, make, in_process)
    return urls


def _write_shard(make: partial[Scene], job: tuple[str, range]) -> None:
    url, indices = job
    shards.write(url, (member for i in indices for member in members(make(i))))


def members(scene: Scene) -> Iterator[tuple[str, bytes]]:
    """The archive members of one scene: image, mask and JSON under one key."""
    key = f"{scene.index:08d}"
    image, mask = drawing.render(scene)
    yield f"{key}.jpg", drawing.jpeg_bytes(image)
    yield f"{key}.json", json.dumps(truth(scene)).encode()
    yield f"{key}.mask.png", drawing.png_bytes(mask)


def truth(scene: Scene) -> dict[str, object]:
    """What the sample's JSON says: caption, year, source, objects, a boolean per attribute."""
    objects = [
        {
            "shape": item.shape,
            "colour": item.colour,
            "x": round(item.x, 1),
            "y": round(item.y, 1),
            "radius": round(item.radius, 1),
        }
        for item in scene.items
    ]
    # Which of THINGS it shows, where it shows a single one.
    one = {"class": f"{scene.items[0].colour} {scene.items[0].shape}"}
    return {
        "caption": caption(scene),
        "year": scene.year,
        "source": scene.source,
        "objects": objects,
        **scene.attributes(),
        **(one if len(scene.items) == 1 else {}),
    }

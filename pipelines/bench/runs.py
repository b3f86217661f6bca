"""Run folders of RN50x16's size with no images behind, through the writers of extraction."""

import json
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from nhd_ops import concepts, moments
from pipelines.bench import rn50x16
from pipelines.extract.shard_files import ShardFiles
from pipelines.io import rows
from pipelines.io.files import write_json
from pipelines.io.shards import Sample
from pipelines.io.store import SCHEMA_VERSION, Run

PER_SHARD = 5000
AT_ONCE = 256  # images
WITH_COEFFICIENTS = 1024  # images


def write_run(folder: str, images: int, seed: int, weights: str, shift: float = 0.0) -> str:
    """A finished run of `images` random images, with moments of all pairs; its folder.

    Coefficients stand behind the moments only. Rows hold pairs drawn at random, which costs a
    hundredth of the time; nothing that reads a finished run asks for more.

    Args:
        weights: the sha256 of the weights that it is said to be made with.
        shift: by how much coefficients, the first three concepts and the three strongest causes
            of embeddings are raised.
    """
    run = Run(folder)
    layout = rn50x16.layout()
    records = []
    for part, start in enumerate(range(0, images, PER_SHARD)):
        files = ShardFiles(run, f"shard-{part:06d}", layout, {"nhd": {}})
        for batch in _batches(start, min(start + PER_SHARD, images), seed, shift):
            files.add(batch, [])
        moved = {"url": f"{folder}/data-{part:06d}.tar", "seconds": {}, "moments": _MOMENTS}
        records.append(files.finish() | moved)
    run.write_moments(_MOMENTS, _moments_of(images, seed, shift), {"records": records})
    for record in records:
        write_json(run.at("shards", f"{record['shard']}.json"), record)
    write_json(run.at("run.json"), _info(layout, weights))
    return folder


_MOMENTS = "moments/all.safetensors"


def _info(layout: rows.Layout, weights: str) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "model": "RN50x16",
        "pretrained": "none",
        "checkpoint": None,
        "weights_sha256": weights,
        "preprocess_id": "none",
        "bucket": None,
        "columns": layout.columns,
        "labels": [],
        "concepts": [{"slug": slug, "text": slug} for slug in layout.slugs],
    }


def _batches(start: int, stop: int, seed: int, shift: float) -> Iterator[rows.Batch]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
    for first in range(start, stop, AT_ONCE):
        count = min(AT_ONCE, stop - first)
        scores = torch.randn(3, count, rn50x16.CONCEPTS, generator=generator)
        scores[:, :, :3] += shift
        norms = torch.rand(count, rn50x16.TOP_PAIRS, generator=generator).sort(1).values.flip(1)
        pairs = torch.randint(rn50x16.PAIRS, norms.shape, generator=generator)
        yield rows.Batch(
            samples=[_sample(i, seed) for i in range(first, first + count)],
            sizes=[(640, 480)] * count,
            embedding=_embeddings(count, generator, shift),
            pairs=pairs.int(),
            coefficients=norms.half().float(),
            norm_total=norms.sum(1),
            norm_kept=norms.sum(1),
            measures=concepts.Measures(*scores),
            dense=None,
        )


@cache
def _mixing() -> Tensor:
    """[D,D]: from independent causes to dimensions; the i-th counts as much as 1/√(i + 1)."""
    generator = torch.Generator().manual_seed(3)
    size = rn50x16.WIDTH
    mixed = torch.randn(size, size, generator=generator)
    return mixed / torch.arange(1, size + 1).sqrt()[:, None]


def _embeddings(count: int, generator: torch.Generator, shift: float) -> Tensor:
    """[B,D], correlated as those of a model are, which is what classifiers take long over."""
    causes = torch.randn(count, rn50x16.WIDTH, generator=generator)
    causes[:, :3] += shift
    return causes @ _mixing()


def _sample(index: int, seed: int) -> Sample:
    fields = {"year": 2015 + index % 10}
    return Sample(f"{seed}-{index:09d}", b"", json.dumps(fields), fields)


def _moments_of(images: int, seed: int, shift: float) -> moments.Moments:
    """Of WITH_COEFFICIENTS of the images, which are then all exemplars there are.

    The work of readers depends on the number of pairs alone, but that of images that are exemplars
    must be in memory: 3 kB each.
    """
    generator = torch.Generator().manual_seed(seed)
    geometry = rn50x16.geometry()
    total: moments.Moments | None = None
    for ids in torch.randperm(images, generator=generator)[:WITH_COEFFICIENTS].split(AT_ONCE):
        s = rn50x16.coefficients(len(ids), generator) + shift
        similarity = torch.randn(len(ids), rn50x16.CONCEPTS, generator=generator)
        total = moments.moments_of(s, geometry, ids, similarity=similarity, before=total)
    assert total is not None
    return total

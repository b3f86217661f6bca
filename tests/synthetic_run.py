"""Small run folders with known truth, written through the real writers."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nhd_ops.contributions import Directions
from nhd_ops.geometry import geometry_of
from nhd_ops.moments import merge, moments_of
from pipelines.io.files import write_json, write_parquet
from pipelines.io.rows import Batch, Layout, Measures, table
from pipelines.io.shards import Sample, shard_id, write
from pipelines.io.store import REJECTS, Run

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SHAPES = ("car", "house", "tree", "star")
NAMES = (*COLOURS, *SHAPES)
HEADS, NEURONS, WIDTH = 2, 12, 8


def truth(n: int, seed: int, boost: dict[str, float]) -> np.ndarray:
    """[n,10] bool: one or two objects per image, each of one colour and one shape."""
    rng = np.random.default_rng(seed)
    found = np.zeros((n, len(NAMES)), bool)
    objects = rng.integers(1, 3, n)
    for start, family in ((0, COLOURS), (len(COLOURS), SHAPES)):
        weights = np.array([boost.get(name, 1.0) for name in family])
        for turn in range(2):
            drawn = start + rng.choice(len(family), n, p=weights / weights.sum())
            rows = np.flatnonzero(objects > turn)
            found[rows, drawn[rows]] = True
    return found


def measured(present: np.ndarray, seed: int, noise: float = 0.35) -> np.ndarray:
    """[n,10] similarities: the truth with noise, and orange half as high for yellow things."""
    rng = np.random.default_rng([seed, 1])
    values = present.astype(float)
    values[:, NAMES.index("orange")] += 0.5 * present[:, NAMES.index("yellow")]
    return 0.2 + 0.05 * (values + noise * rng.normal(size=values.shape))


def make_run(
    folder: Path,
    n: int = 600,
    seed: int = 0,
    boost: dict[str, float] | None = None,
    shards: int = 2,
    names: Sequence[str] = NAMES,
    texts: dict[str, str] | None = None,
    keys: Sequence[str] | None = None,
    rejected: int = 0,
    bucket: str | None = None,
    order: np.ndarray | None = None,
    weights: str = "a" * 64,
    fit: bool = False,
    copies: int = 1,
    damaged: int = 0,
    yearless: float = 0.0,
    lens: str | None = None,
    lens_url: str | None = None,
) -> str:
    """Write a finished run of `n` images and return its URL.

    `copies` of every image follow each other; `rejected` samples are lost in every shard, `damaged`
    more in the first one; a part `yearless` of the images has no year.
    With the id of a lens, the run is as if scored through it.
    """
    present = truth(n // copies, seed, boost or {}).repeat(copies, 0)
    similarity = measured(present[::copies], seed).repeat(copies, 0)
    rng = np.random.default_rng([seed, 2])
    noise = rng.normal(size=(n // copies, WIDTH)).astype(np.float32).repeat(copies, 0)
    mixing = np.random.default_rng(99).normal(size=(len(NAMES), WIDTH))
    embedding = torch.from_numpy((similarity * 20 @ mixing + noise).astype(np.float32))
    coefficients = torch.from_numpy(rng.normal(size=(n, HEADS, NEURONS)).astype(np.float32))
    coefficients[:, 0, : len(NAMES)] += torch.from_numpy(similarity * 40).float()
    years: list[int | None] = [2019 + int(present[i, 0] or i % 3 == 0) + (i % 2) for i in range(n)]
    for i in np.random.default_rng([seed, 3]).choice(n, int(yearless * n), replace=False):
        years[i] = None
    columns = {"year": "int64", **{name: "bool" for name in NAMES}}
    info = {
        "schema_version": 1, "model": "synthetic", "weights_sha256": weights,
        "preprocess_id": "none", "bucket": bucket, "columns": columns, "labels": list(NAMES),
        "concepts": [{"slug": s, "text": (texts or {}).get(s, s)} for s in names],
        "lens": lens, "lens_url": lens_url,
    }  # fmt: skip
    run = Run(str(folder))
    write_json(run.at("run.json"), info)
    keys = list(keys or (f"image-{seed}-{i:05d}" for i in range(n)))
    rows = np.arange(n) if order is None else order
    geometry = geometry_of(_directions())
    for number, part in enumerate(np.array_split(rows, shards)):
        url = str(folder / f"data-{part.min():05d}.tar")
        samples = [_sample(keys[i], present[i], years[i]) for i in part]
        write(url, [(f"{s.key}.jpg", s.image) for s in samples])
        _write_shard(
            run, url, samples, info, embedding[part], coefficients[part], similarity[part],
            rejected + (damaged if number == 0 else 0), geometry,
        )  # fmt: skip
    if fit:
        _write_fit(run)
    return str(folder)


def _write_shard(
    run: Run, url: str, samples: list[Sample], info: dict, embedding: torch.Tensor,
    coefficients: torch.Tensor, similarity: np.ndarray, rejected: int, geometry: object,
) -> None:  # fmt: skip
    shard = shard_id(url)
    names = [c["slug"] for c in info["concepts"]]
    chosen = torch.from_numpy(similarity[:, [NAMES.index(name) for name in names]]).float()
    measures = Measures(chosen.sqrt(), chosen * 2 + 0.01 * torch.randn(chosen.shape), chosen)
    flat = coefficients.flatten(1)
    batch = Batch(
        samples, [(32, 32)] * len(samples), embedding, torch.zeros(len(flat), 1).int(),
        flat[:, :1], flat.abs().sum(1), flat[:, 0].abs(), measures, None,
        chosen - 0.2 if info["lens"] else None,
    )  # fmt: skip
    write_parquet(
        run.at("images", f"{shard}.parquet"),
        table(shard, [batch], Layout(info["columns"], tuple(names), grounded=bool(info["lens"]))),
    )
    labels = torch.tensor([[s.fields[name] for name in NAMES] for s in samples])
    bucket = info["bucket"]
    groups = [str(s.fields[bucket]) for s in samples] if bucket else None
    halves = [
        moments_of(
            coefficients[half], geometry, half, similarity=chosen[half], labels=labels[half],
            buckets=[groups[i] for i in half] if groups else None,
        )
        for half in torch.arange(len(samples)).chunk(2)
    ]  # fmt: skip
    found = merge(*halves)
    record = {
        "shard": shard, "url": url, "read": len(samples) + rejected, "written": len(samples),
        "rejected": rejected, "reasons": {"truncated": rejected} if rejected else {},
        "seconds": {}, "moments": f"moments/{shard}.safetensors",
    }  # fmt: skip
    run.write_moments(record["moments"], found, {"records": [record]})
    if rejected:
        write_parquet(run.at("rejects", f"{shard}.parquet"), REJECTS.empty_table())
    write_json(run.at("shards", f"{shard}.json"), record)


def _write_fit(run: Run) -> None:
    import pyarrow as pa

    count = HEADS * NEURONS
    words = [[NAMES[i], "<b>bold</b>"] if i < len(NAMES) else ["nothing"] for i in range(count)]
    pairs = pa.table({"pair": list(range(count)), "sign": [1] * count, "words": words})
    write_parquet(run.at("fit", "pairs.parquet"), pairs)


def _sample(key: str, present: np.ndarray, year: int | None) -> Sample:
    fields = {"year": year, **dict(zip(NAMES, map(bool, present), strict=True))}
    shade = tuple(int(40 + 200 * x) for x in present[:3])
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), shade).save(buffer, "JPEG")
    return Sample(key, buffer.getvalue(), json.dumps(fields), fields)


def _directions() -> Directions:
    generator = torch.Generator().manual_seed(7)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    width = NEURONS // HEADS
    return Directions(
        random(HEADS, width, NEURONS), random(HEADS, WIDTH, width), random(HEADS, width),
        random(WIDTH),
    )  # fmt: skip

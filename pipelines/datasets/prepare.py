"""A published dataset to WebDataset shards that every nhd command reads; can be run again.

    <out>/<dataset>-<split>-000000.tar    <key>.jpg (the bytes as published), .json, .mask.png
    <out>/classes.json                    the classes, in the order of masks and class_index
    <out>/dataset.json                    where it comes from, what is in it, what was left out

Same source, same bytes: samples lie in the order of their keys, and shards are cut by number and
bytes. A shard that is there was written whole, so running again writes what is missing; the record
in dataset.json, which is written first, refuses another source.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import fsspec

from pipelines.datasets.dataset import Dataset, Options
from pipelines.datasets.item import Item, write_shard
from pipelines.datasets.registry import read_dataset
from pipelines.errors import UsageError
from pipelines.io.classes import write_classes
from pipelines.io.files import write_json
from pipelines.io.urls import fingerprints
from pipelines.run.cluster import parallel

RECORD = "dataset.json"


@dataclass(frozen=True)
class PreparePlan:
    """What to convert, and how shards are cut."""

    dataset: str
    source: str
    out: str
    options: Options = field(default_factory=Options)
    limit: int = 0
    """Take only so many samples, spread evenly over the dataset; 0 for all."""
    per_shard: int = 1000
    shard_bytes: int = 256 * 2**20
    in_process: bool = False


def prepare(plan: PreparePlan) -> dict[str, Any]:
    """Write the shards that are missing, and return what dataset.json says.

    Raises UsageError for a source that is not as published or a folder with something else in it.
    """
    if plan.per_shard < 1 or plan.shard_bytes < 1 or plan.limit < 0:
        raise UsageError("--per-shard and --shard-mb must be at least 1, --limit at least 0")
    dataset = read_dataset(plan.dataset, plan.source, plan.options)
    items = _spread(_checked(dataset), plan.limit)
    parts = _cut(items, plan)
    out = plan.out.rstrip("/")
    urls = [f"{out}/{dataset.name}-{dataset.split}-{i:06d}.tar" for i in range(len(parts))]
    record = _record(dataset, plan, items, len(urls))
    there = _claim(out, record, urls)
    missing = [(url, part) for url, part in zip(urls, parts, strict=True) if url not in there]
    print(f"{len(items)} images in {len(urls)} shards, {len(missing)} to write", flush=True)
    parallel(write_shard, missing, in_process=plan.in_process)
    write_json(f"{out}/classes.json", write_classes(dataset.classes))
    done = record | {"complete": True}
    write_json(f"{out}/{RECORD}", done)
    return done


def _checked(dataset: Dataset) -> list[Item]:
    keys = [item.key for item in dataset.items]
    if twice := {a for a, b in zip(sorted(keys), sorted(keys)[1:], strict=False) if a == b}:
        raise UsageError(f"the dataset has two images of the name {min(twice)}; remove one")
    if odd := [key for key in keys if "." in key or "/" in key]:
        raise UsageError(f"the image {odd[0]} has a dot or slash in its name; rename it")
    return dataset.items


def _spread(items: list[Item], limit: int) -> list[Item]:
    if not limit or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def _cut(items: list[Item], plan: PreparePlan) -> list[list[Item]]:
    parts: list[list[Item]] = []
    room = 0
    for item in items:
        if not parts or len(parts[-1]) >= plan.per_shard or item.image.size > room:
            parts.append([])
            room = plan.shard_bytes
        parts[-1].append(item)
        room -= item.image.size
    return parts


def _record(dataset: Dataset, plan: PreparePlan, items: list[Item], count: int) -> dict[str, Any]:
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr(item.identity).encode())
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "title": dataset.title,
        "licence": dataset.licence,
        "source": plan.source,
        "source_sha256": digest.hexdigest(),
        "images": len(items),
        "images_published": dataset.published,
        "not_taken": len(dataset.items) - len(items),
        "left_out": dataset.left_out,
        "masks": any(item.mask for item in items),
        "fields": sorted({name for item in items for name in item.fields}),
        "classes": len(dataset.classes),
        "shards": count,
        "per_shard": plan.per_shard,
        "shard_bytes": plan.shard_bytes,
        "complete": False,
    }


def _claim(out: str, record: dict[str, Any], urls: list[str]) -> set[str]:
    """The shards that are there already; refuses a folder that holds anything else."""
    fs, path = fsspec.core.url_to_fs(out)
    names = {name.rpartition("/")[2] for name in fs.glob(f"{path}/*.tar")}
    if fs.exists(f"{path}/{RECORD}"):
        _same(out, json.loads(fs.cat_file(f"{path}/{RECORD}")), record)
    elif names:
        raise UsageError(
            f"{out} holds shards of unknown origin, such as {min(names)}; give another --out"
        )
    write_json(f"{out}/{RECORD}", record)
    return {url for url, found in fingerprints(urls).items() if found is not None}


def _same(out: str, there: dict[str, Any], record: dict[str, Any]) -> None:
    for name in ("dataset", "split", "images", "per_shard", "shard_bytes"):
        if there.get(name) != record[name]:
            raise UsageError(
                f"{out} was prepared with {name} {there.get(name)}, not {record[name]}; give "
                "another --out, or delete it"
            )
    if there.get("source_sha256") != record["source_sha256"]:
        raise UsageError(
            f"{out} was prepared from {there.get('source')}, and that is not what "
            f"{record['source']} holds now; give another --out, or delete it"
        )

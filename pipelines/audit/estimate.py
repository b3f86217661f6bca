"""How many images an extraction has, how long it will take, and what it will take on disk."""

import json
from dataclasses import dataclass
from typing import Any

from pipelines.audit.extraction import Extraction
from pipelines.audit.series import Series
from pipelines.audit.sizes import bytes_per_image, sizes_of
from pipelines.io.shards import shard_id
from pipelines.io.store import Run
from pipelines.io.urls import Fingerprint, fingerprints

SIDECAR = "_stats.json"  # what img2dataset writes beside a shard; `successes` counts its images


@dataclass(frozen=True)
class Estimate:
    """Of one extraction; None where nothing is known."""

    shards: int
    done: int
    """Of the shards."""
    bytes: int
    """Of the shards, those whose store tells."""
    images: int | None
    exact: bool
    """Counted, not put down to the size of the shards."""
    left: int | None
    """Images that are not done yet."""


@dataclass(frozen=True)
class Experience:
    """What earlier extractions of a series have shown."""

    images_per_byte: float | None
    """Of shards."""
    images_per_second: float | None
    bytes_per_image: float | None
    """Of what is written."""


def experience_of(series: Series) -> Experience:
    """From the run folders of a series and the notes beside them, the latest first."""
    folders: list[tuple[str, ...]] = [("audits", name) for name in reversed(series.numbers())]
    folders += [("baseline",), ("calibration",)]
    per_byte, per_second, written = None, None, None
    for folder in folders:
        note = series.load(*folder, "done", "extract.json") or {}
        if per_second is None and note.get("images") and note["seconds"] > 0:
            per_second = note["images"] / note["seconds"]
        records = list(Run(series.at(*folder, "run")).each_record())
        per_byte = per_byte or _images_per_byte(records)
        written = written or _bytes_per_image(records)
    return Experience(per_byte, per_second, written)


def estimate_of(what: Extraction, known: Experience) -> Estimate:
    """Counted from commit records and sidecars, else by the size of the shards."""
    urls = what.shards()
    records = {record["shard"]: record for record in what.target.each_record()}
    waiting = [url for url in urls if shard_id(url) not in records]
    found = fingerprints(urls)
    done = sum(record["read"] for record in records.values())
    left, exact = _left(waiting, found, known)
    total = None if left is None else done + left
    size = sum(max(0, one["size"]) for one in found.values() if one is not None)
    return Estimate(len(urls), len(urls) - len(waiting), size, total, exact, left)


def bytes_per_row(what: Extraction, known: Experience, concepts: int) -> float | None:
    """Of what is written for an image: as seen, or computed from the model's sizes."""
    if known.bytes_per_image is not None:
        return known.bytes_per_image
    sizes = sizes_of(what.settings.model.name)
    return None if sizes is None else bytes_per_image(sizes, concepts, what.lens is not None)


def _left(
    waiting: list[str], found: dict[str, Fingerprint | None], known: Experience
) -> tuple[int | None, bool]:
    counted = [_sidecar(url) for url in waiting]
    if None not in counted:
        return sum(count for count in counted if count is not None), True
    sizes = [-1 if (one := found[url]) is None else int(one["size"]) for url in waiting]
    if known.images_per_byte is None or min(sizes) < 0:
        return None, False
    return round(sum(sizes) * known.images_per_byte), False


def _sidecar(url: str) -> int | None:
    folder, _, name = url.rpartition("/")
    try:
        stats = json.loads(Run(folder).read(name.partition(".")[0] + SIDECAR))
        return int(stats["successes"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _images_per_byte(records: list[dict[str, Any]]) -> float | None:
    sized = [record for record in records if (record.get("source") or {}).get("size", -1) > 0]
    size = sum(record["source"]["size"] for record in sized)
    return sum(record["read"] for record in sized) / size if size else None


def _bytes_per_image(records: list[dict[str, Any]]) -> float | None:
    images = sum(record["written"] for record in records)
    size = sum(file["bytes"] for r in records for file in r.get("files", {}).values())
    return size / images if images else None

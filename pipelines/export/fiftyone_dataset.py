"""The flagged images as a folder that FiftyOne imports, with the reasons and measures on each.

    fiftyone.Dataset.from_dir(DIR, dataset_type=fiftyone.types.FiftyOneDataset)

The layout is that of FiftyOne 1.x (metadata.json, samples.json, data/), written without FiftyOne.
Identifiers are hashes of side, shard and key, so the same report makes the same bytes.
"""

import json
from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.export.fiftyone_schema import Document, metadata
from pipelines.export.folder import names_in, refuse_others
from pipelines.export.images import Flagged, images_of, measures_of, with_bytes
from pipelines.export.report import Report
from pipelines.io.files import atomic_write, sha256

DATA = "data"
METADATA = "metadata.json"
SAMPLES = "samples.json"


@dataclass(frozen=True)
class Written:
    """What came of an export."""

    images: int
    unread: int
    """Flagged images that their shards do not give any more."""


def write_fiftyone(report: Report, out: str) -> Written:
    """Copy the images out of their shards and describe them; samples.json comes last.

    Raises UsageError where `out` holds other things, or where no image can be read any more.
    """
    images = images_of(report)
    _refuse_others(out, images)
    files: dict[str, str] = {}
    for image, data in with_bytes(report, images):
        files[image.digest] = f"{DATA}/{image.name(data)}"
        atomic_write(f"{out}/{files[image.digest]}", data)
    if images and not files:
        raise UsageError(
            f"none of the {len(images)} flagged images can be read from the shards, such as "
            f"{images[0].flags[0]['url']}; --format csv needs none"
        )
    _write(f"{out}/{METADATA}", metadata(report))
    read = [image for image in images if image.digest in files]
    measures = measures_of(report)
    samples = [_sample(image, files[image.digest], measures) for image in read]
    _write(f"{out}/{SAMPLES}", {"samples": samples})
    return Written(len(read), len(images) - len(read))


def _refuse_others(out: str, images: list[Flagged]) -> None:
    """Files in data/ are known by the hash in their names, as the bytes are not read yet."""
    mine = {image.digest[:12] for image in images}

    def expected(path: str) -> bool:
        stem = path.rpartition(".")[0].rpartition("-")[2]
        return path in (METADATA, SAMPLES) or (path.startswith(f"{DATA}/") and stem in mine)

    refuse_others(out, {path for path in names_in(out) if expected(path)})


def _write(url: str, document: Document) -> None:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    atomic_write(url, text.encode())


def _sample(image: Flagged, path: str, measures: list[str]) -> Document:
    """One document of the samples collection."""
    flags = [(_reason(flag), _details(flag)) for flag in image.flags]
    labels: list[tuple[str, Document]] = [(n, {}) for n in image.known.get("labels", [])]
    odds = (flag["value"] for flag in image.flags if flag["why"] == "classifier")
    return {
        "_id": _id(image.digest),
        "_media_type": "image",
        "_rand": int(image.digest[:13], 16) / 16**13,
        "filepath": path,
        "tags": list(dict.fromkeys([image.side, *(flag["why"] for flag in image.flags)])),
        **{name: getattr(image, name) for name in ("side", "shard", "key")},
        "url": image.flags[0]["url"],
        "meta": image.known.get("meta"),
        "words": image.known.get("words", []),
        "flagged": _classifications(image, "flagged", flags),
        "labels": _classifications(image, "labels", labels),
        "classifier": _regression(image, "classifier", next(odds, None)),
        **{name: _regression(image, name, image.known.get(name)) for name in measures},
    }


def _classifications(image: Flagged, field: str, labels: list[tuple[str, Document]]) -> Document:
    found = [
        {"_id": _id(image.digest, field, str(i)), "_cls": "Classification", "tags": []}
        | {"label": label, **details}
        for i, (label, details) in enumerate(labels)
    ]
    return {"_cls": "Classifications", "classifications": found}


def _regression(image: Flagged, field: str, value: float | None) -> Document | None:
    if value is None:
        return None
    return {"_id": _id(image.digest, field), "_cls": "Regression", "tags": [], "value": value}


def _reason(flag: Document) -> str:
    return flag["why"] if flag["why"] == "classifier" else f"{flag['why']} {flag['name']}"


def _details(flag: Document) -> Document:
    kept = {name: flag[name] for name in ("text", "value", "baseline_quantile", "rank")}
    return {name: value for name, value in kept.items() if value is not None}


def _id(*parts: str) -> Document:
    """An ObjectId that these parts always get."""
    return {"$oid": sha256("\0".join(parts).encode())[:24]}

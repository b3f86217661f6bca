"""The distinct images among flagged samples: what their run knows of each, and their bytes."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipelines.export.report import SIDES, Report
from pipelines.io.files import sha256
from pipelines.io.rejects import REASONS
from pipelines.io.shards import fetch
from pipelines.io.store import Run

SHARDS_AT_ONCE = 4
WORDS = 5
EXTENSIONS = (
    (rb"\xff\xd8", "jpg"), (rb"\x89PNG", "png"), (rb"RIFF.{4}WEBP", "webp"), (rb"GIF8", "gif"),
    (rb"BM", "bmp"), (rb"II[*+]|MM\0[*+]", "tif"),
)  # fmt: skip


@dataclass(frozen=True)
class Flagged:
    """One image of one side, with every reason why it is flagged."""

    side: str
    shard: str
    key: str
    flags: list[dict[str, Any]]
    """Rows of the flagged samples, in their order."""
    known: dict[str, Any] = field(default_factory=dict)
    """Of its row in the run: `measures_of`, meta, `labels` that it has, and the `words` of its
    strongest pairs. Empty for a reject, which has no row."""

    @property
    def digest(self) -> str:
        """64 hex digits that are this image's alone."""
        return sha256("\0".join((self.side, self.shard, self.key)).encode())

    def name(self, data: bytes) -> str:
        """A file name that says a little of the key and leads nowhere, whatever the key is."""
        told = re.sub(r"[^A-Za-z0-9]+", "-", self.key)[-40:].strip("-")
        return "-".join(part for part in (self.side, told, self.digest[:12]) if part) + _kind(data)


def images_of(report: Report) -> list[Flagged]:
    """The images in the order of the samples, less those that were lost before they were images."""
    found: dict[tuple[str, str, str], Flagged] = {}
    for row in report.samples.to_pylist():
        if row["why"] == "reject" and REASONS.get(row["name"], ("read",))[0] == "read":
            continue  # of a repeated key, the image under this key is another
        place = (row["side"], row["shard"], row["key"])
        found.setdefault(place, Flagged(*place, [])).flags.append(row)
    for side in SIDES:
        _add_known(report, side, [image for image in found.values() if image.side == side])
    return list(found.values())


def with_bytes(report: Report, images: list[Flagged]) -> Iterator[tuple[Flagged, bytes]]:
    """Each image with its file as it is in the shard, shard by shard, a few at a time.

    Those that cannot be read again are left out.
    """
    by_shard: dict[tuple[str, str], list[Flagged]] = {}
    for image in images:
        by_shard.setdefault((image.side, image.shard), []).append(image)
    urls = {side: report.run(side).shard_urls for side in {side for side, _ in by_shard}}

    def read(place: tuple[str, str]) -> list[tuple[Flagged, bytes]]:
        wanted = by_shard[place]
        data = fetch(urls[place[0]], [(image.shard, image.key) for image in wanted])
        there = ((image, data.get((image.shard, image.key))) for image in wanted)
        return [(image, found) for image, found in there if found]

    with ThreadPoolExecutor(SHARDS_AT_ONCE) as pool:
        places = list(by_shard)
        for start in range(0, len(places), SHARDS_AT_ONCE):
            for part in pool.map(read, places[start : start + SHARDS_AT_ONCE]):
                yield from part


def measures_of(report: Report) -> list[str]:
    """The columns of the measure that decided, for each concept that changed."""
    return [f"{report.summary['measure']}_{finding['name']}" for finding in report.changed]


def _add_known(report: Report, side: str, images: list[Flagged]) -> None:
    if not images:
        return
    run = report.run(side)
    labels, words = run.info["labels"], _words(run)
    columns = ["key", "meta", "pairs", "coefficients", *measures_of(report), *labels]
    by_shard: dict[str, dict[str, Flagged]] = {}
    for image in images:
        by_shard.setdefault(image.shard, {})[image.key] = image
    for shard, wanted in by_shard.items():
        table = run.table(f"images/{shard}.parquet", columns)
        for index, key in enumerate(table["key"].to_pylist()):
            if key in wanted:
                row = table.slice(index, 1).to_pylist()[0]
                pairs = zip(row.pop("pairs"), row.pop("coefficients"), strict=True)
                found = {
                    "words": _said(pairs, words),
                    "labels": [name for name in labels if row[name]],
                }
                wanted[key].known.update(row | found)


def _said(pairs: Iterable[tuple[int, float]], words: dict[int, tuple[int, str]]) -> list[str]:
    """The first words of the pairs of largest norm, of those that point where their words do."""
    signs = ((*words.get(pair, (0, "")), coefficient) for pair, coefficient in pairs)
    return list(dict.fromkeys(word for sign, word, c in signs if sign * c > 0))[:WORDS]


def _words(run: Run) -> dict[int, tuple[int, str]]:
    """Pair → its sign and its first word; nothing without a fit."""
    if not run.exists("fit", "pairs.parquet"):
        return {}
    table = run.table("fit/pairs.parquet", ["pair", "sign", "words"])
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {pair: (sign, words[0]) for pair, sign, words in rows if words}


def _kind(data: bytes) -> str:
    """The extension that the bytes say, not the one that the archive says."""
    found = (ext for start, ext in EXTENSIONS if re.match(start, data, re.DOTALL))
    return f".{next(found, 'bin')}"

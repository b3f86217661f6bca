"""`tables/tables.json`: which shards, in which version, the large files of a run hold.

A shard's version is the checksum of its rows in the commit record. A group of which any shard was
extracted anew, taken back or lost is stale, and readers take that group's raw files instead: what
they see is always the committed rows, each once.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.io.files import sha256, write_json
from pipelines.io.store import Run

FOLDER = "tables"
NAME = "tables.json"
SCHEMA_VERSION = 1
Record = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Consecutive shards (in order of id) that make one file of images and one of firings."""

    shards: dict[str, str]
    """Shard id → sha256 of its rows."""

    @property
    def name(self) -> str:
        """Of both files: a function of what they hold, so that making them twice is harmless."""
        return sha256(json.dumps([SCHEMA_VERSION, sorted(self.shards.items())]).encode())[:16]

    def path(self, kind: str) -> str:
        """The file of `images` or `firings`, inside the run folder."""
        return f"{FOLDER}/{kind}-{self.name}.parquet"


class File(NamedTuple):
    """A file that was made."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Made:
    """A group whose files are there."""

    group: Group
    images: File
    firings: File


class Cover(NamedTuple):
    """How a run can be read."""

    made: list[Made]
    """Groups that hold exactly what is committed of their shards."""
    raw: list[Record]
    """Records of the shards that none of them holds."""
    stale: list[Made]
    """Groups that hold something that is no longer committed."""


def version(record: Record) -> str:
    """What tells a shard's rows from others of the same shard."""
    digest: str = record["files"]["images"]["sha256"]
    return digest


def read(run: Run) -> list[Made]:
    """The groups of a run; none where it was never compacted, or by another version of nhd."""
    if not run.exists(FOLDER, NAME):
        return []
    found = json.loads(run.read(FOLDER, NAME))
    if found["schema_version"] != SCHEMA_VERSION:
        return []
    return [
        Made(Group(each["shards"]), File(**each["images"]), File(**each["firings"]))
        for each in found["groups"]
    ]


def write(run: Run, groups: Iterable[Made]) -> None:
    """Let readers know of the groups."""
    each = [
        {"shards": g.group.shards, "images": g.images._asdict(), "firings": g.firings._asdict()}
        for g in groups
    ]
    write_json(run.at(FOLDER, NAME), {"schema_version": SCHEMA_VERSION, "groups": each})


def cover(run: Run, records: list[Record]) -> Cover:
    """Which groups may be read for the committed shards, and which shards raw."""
    groups = read(run)
    if not groups:
        return Cover([], records, [])
    now = {record["shard"]: version(record) for record in records}
    fresh = [g for g in groups if g.group.shards.items() <= now.items()]
    held = {shard for g in fresh for shard in g.group.shards}
    return Cover(
        made=fresh,
        raw=[record for record in records if record["shard"] not in held],
        stale=[g for g in groups if g not in fresh],
    )


def summary(run: Run, records: list[Record]) -> dict[str, Any]:
    """For `nhd status`: groups, the shards that they hold, and those that they lack."""
    found = cover(run, records)
    return {
        "groups": len(found.made),
        "shards": len(records) - len(found.raw),
        "raw": len(found.raw),
        "stale": len(found.stale),
    }


def problems(run: Run) -> Iterable[str]:
    """Read every table again; yield a sentence for each that is not what tables.json says."""
    for made in read(run):
        for file in (made.images, made.firings):
            try:
                good = sha256(run.read(file.path)) == file.sha256
            except FileNotFoundError:
                yield f"{file.path}: is gone; run nhd compact, which makes it again"
                continue
            if not good:
                yield f"{file.path}: not what tables.json says; delete it and run nhd compact"

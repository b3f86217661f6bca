"""Which shards are put together into one file: about 100,000 images, or a gigabyte of rows."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pipelines.tables.manifest import Cover, Group, Made, Record, version

IMAGES = 100_000
BYTES = 1 << 30  # of encoded rows: what --keep dense reaches first


class Plan(NamedTuple):
    """What is to be done."""

    kept: list[Made]
    """Groups that stay as they are."""
    wanted: list[Group]
    """Groups to make, in order of shard id."""


def plan(
    cover: Cover,
    records: list[Record],
    images: int = IMAGES,
    there: Callable[[Made], bool] = lambda made: True,
) -> Plan:
    """Groups for every shard that has rows; those that are not `there` are made again.

    A group that is less than half full is made again together with what is new, so that a run
    that grows shard by shard does not end in as many small files; an image is then copied about
    as often as the run has doubled within a group.
    """
    kept = [made for made in cover.made if there(made)]
    small = [made for made in kept if 2 * made.images.rows < images]
    held = {shard for made in kept for shard in made.group.shards}
    if any(record["written"] and record["shard"] not in held for record in records):
        kept = [made for made in kept if made not in small]
        held = {shard for made in kept for shard in made.group.shards}
    waiting = [r for r in records if r["written"] and r["shard"] not in held]
    groups = list(_filled(waiting, images))
    same = [made for made in small if made not in kept and made.group in groups]
    return Plan([*kept, *same], [g for g in groups if g not in [made.group for made in same]])


def _filled(records: list[Record], images: int) -> Iterable[Group]:
    """Groups that close before they would exceed either bound."""
    shards: dict[str, str] = {}
    rows = size = 0
    for record in records:
        more = record["files"]["images"]["bytes"]
        if shards and (rows + record["written"] > images or size + more > BYTES):
            yield Group(shards)
            shards, rows, size = {}, 0, 0
        shards[record["shard"]] = version(record)
        rows, size = rows + record["written"], size + more
    if shards:
        yield Group(shards)

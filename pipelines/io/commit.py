"""How shards are committed to a run folder, and how a folder is mended after anything.

A worker writes the image files of a group of shards, then the group's moments file. Only the
driver, which holds the lock, writes commit records (`shards/<shard-id>.json`): the first record
of a group commits the whole group. A worker that was given up but lives on can write nothing that
a reader would see but the same rows again; one whose driver is gone does not write (it looks at
the lock just before it does).

What an interrupted run leaves is mended by the next (`recover`): a group with some of its records
gets the rest, from the header of its moments file; everything that no record speaks for is removed.
Removing a group's moments file takes back its commit (`forget`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pipelines.io.files import PARTIAL, write_json
from pipelines.io.store import Run

FOLDERS = ("images", "rejects", "moments", "shards", "failed")
AT_ONCE = 16  # commit records written at a time
Record = dict[str, Any]


def commit(run: Run, records: Iterable[Record]) -> None:
    """Write the commit records of a group; the first one commits them all, so it comes first.

    The others are written some at a time: a request to an object store takes tens of milliseconds.
    """
    waiting = list(records)
    for record in waiting[:1]:
        _write(run, record)
    if len(waiting) > 1:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(partial(_write, run), waiting[1:]))


def _write(run: Run, record: Record) -> None:
    write_json(run.at("shards", f"{record['shard']}.json"), record)


def forget(run: Run, moments: str | None, shards: Iterable[str]) -> None:
    """Take back the commit of a group: its moments first, then its shards' records and files."""
    if moments:
        run.delete(moments)
    for shard in shards:
        run.delete("shards", f"{shard}.json")
        run.delete("images", f"{shard}.parquet")
        run.delete("rejects", f"{shard}.parquet")


def recover(run: Run, say: Callable[[str], None]) -> dict[str, Record]:
    """Mend what an interrupted run left, under the lock; return the records by shard id."""
    for folder in FOLDERS:
        for name in run.names(folder):
            if PARTIAL in name:
                run.delete(folder, name)
    records = _records(run)
    present = {f"{folder}/{n}" for folder in FOLDERS[:3] for n in run.names(folder)}
    for record in [r for r in records.values() if not r["moments"] and _lost(r, present)]:
        say(f"files of {record['url']} are gone: it is done again")
        forget(run, None, [record["shard"]])
        del records[record["shard"]]
    for moments, members in by_moments(records).items():
        lost = moments not in present or any(_lost(record, present) for record in members)
        if lost or _torn(members, records, moments):
            say(f"{moments} does not match its {len(members)} records: they are done again")
            forget(run, moments, [m["shard"] for m in members])
            records = {s: r for s, r in records.items() if r["moments"] != moments}
        else:
            records |= _completed(run, moments, members, records)
    _sweep(run, records)
    return records


def _records(run: Run) -> dict[str, Record]:
    """By shard id; the records of a group share their list of its shards, which would otherwise
    take more memory than all else."""
    groups: dict[str, list[str]] = {}
    records = {}
    for record in run.each_record():
        if record["moments"]:
            record["group"] = groups.setdefault(record["moments"], record["group"])
        records[record["shard"]] = record
    return records


def _lost(record: Record, present: set[str]) -> bool:
    return any(file["path"] not in present for file in record["files"].values())


def by_moments(records: dict[str, Record]) -> dict[str, list[Record]]:
    """The records of each group, by the path of its moments."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records.values():
        if record["moments"]:
            groups[record["moments"]].append(record)
    return dict(groups)


def _torn(members: list[Record], records: dict[str, Record], moments: str) -> bool:
    """Was a shard of the group committed again, with another group?"""
    return any(
        shard in records and records[shard]["moments"] != moments for shard in members[0]["group"]
    )


def _completed(
    run: Run, moments: str, members: list[Record], records: dict[str, Record]
) -> dict[str, Record]:
    """Write the records that the group still lacks; return them."""
    if all(shard in records for shard in members[0]["group"]):
        return {}
    lacking = [r for r in run.header(moments)["records"] if r["shard"] not in records]
    commit(run, lacking)
    return {record["shard"]: record for record in lacking}


def _sweep(run: Run, records: dict[str, Record]) -> None:
    """Remove files that no record speaks for, so that patterns such as images/* are exact."""
    kept = {path["path"] for record in records.values() for path in record["files"].values()}
    kept |= {record["moments"] for record in records.values()}
    for folder in ("images", "rejects", "moments"):
        for name in run.names(folder):
            if f"{folder}/{name}" not in kept:
                run.delete(folder, name)


def together(records: dict[str, Record], shards: Iterable[str]) -> dict[str | None, list[str]]:
    """All shards that must be forgotten with `shards`, by moments file (None: no image)."""
    wanted = set(shards)
    moments = {records[shard]["moments"] for shard in wanted}
    found: dict[str | None, list[str]] = defaultdict(list)
    for shard, record in records.items():
        if shard in wanted or (record["moments"] and record["moments"] in moments):
            found[record["moments"]].append(shard)
    return dict(found)

"""Do the files of a run folder say what its commit records say? All of them are read again.

What an interrupted run left, or one that goes on is about to commit, is no damage: no reader looks
at it, and the next run finishes it or makes it anew.
"""

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.torch import load as load_tensors

from nhd_ops.moments import from_tensors
from pipelines.io.commit import FOLDERS, Record, by_moments
from pipelines.io.files import PARTIAL, reason, sha256
from pipelines.io.store import Run, moments_header


@dataclass
class Checked:
    """What came of it."""

    problems: list[str] = field(default_factory=list)
    """A sentence for each disagreement of records and files."""
    unfinished: list[str] = field(default_factory=list)
    """Paths of files that belong to shards which are not committed yet, or not with their group."""


def checked(run: Run, wanted: Collection[str] = ()) -> Checked:
    """Read everything again. `wanted` are the ids of the shards that the run was asked for.

    Rows and rejects are counted, their checksums and keys compared, and the moments' image
    counts added up.
    """
    found = Checked()
    records = {record["shard"]: record for record in run.each_record()}
    waiting = set(wanted) - records.keys()
    for path in _unspoken_for(run, records):
        if _is_unfinished(path, waiting):
            found.unfinished.append(path)
        else:
            found.problems.append(f"{path}: no commit record speaks for it")
    for record in records.values():
        found.problems += _readable(f"shard {record['shard']}", _check_files(run, record))
    for moments, members in by_moments(records).items():
        lacking = set(members[0]["group"]) - {record["shard"] for record in members}
        if lacking and lacking <= waiting:
            found.unfinished.append(moments)
        found.problems += _readable(moments, _check_moments(run, moments, members, waiting))
    return found


def _unspoken_for(run: Run, records: dict[str, Record]) -> Iterator[str]:
    """The paths of files that no record names."""
    kept = {file["path"] for record in records.values() for file in record["files"].values()}
    kept |= {record["moments"] for record in records.values()}
    for folder in FOLDERS[:3]:
        for name in run.names(folder):
            if f"{folder}/{name}" not in kept:
                yield f"{folder}/{name}"


def _is_unfinished(path: str, waiting: Collection[str]) -> bool:
    """Can a run have left it that stopped before it committed these shards?

    Moments are named after a group, which only its records tell.
    """
    folder, _, name = path.partition("/")
    return PARTIAL in name or (
        bool(waiting) if folder == "moments" else name.removesuffix(".parquet") in waiting
    )


def _readable(name: str, problems: Iterator[str]) -> Iterator[str]:
    """The problems, of which one is that a file cannot be read."""
    try:
        yield from problems
    except Exception as error:  # whatever damaged bytes make their readers raise
        yield f"{name}: a file cannot be read ({type(error).__name__}: {reason(error)})"


def _check_moments(
    run: Run, moments: str, members: list[Record], waiting: Collection[str]
) -> Iterator[str]:
    data = run.read(moments)
    header: dict[str, Any] = moments_header(data)
    count = from_tensors(load_tensors(data), header["buckets"]).count
    shards = {record["shard"] for record in members}
    to_come = [r for r in header["records"] if r["shard"] in waiting and r["shard"] not in shards]
    whole = [*members, *to_come]
    if sorted(record["shard"] for record in whole) != sorted(members[0]["group"]):
        yield f"{moments}: not all of its shards have records"
    if count != sum(record["written"] for record in whole):
        yield f"{moments}: holds {count} images, its records say otherwise"


def _check_files(run: Run, record: Record) -> Iterator[str]:
    shard = record["shard"]
    if record["read"] != record["written"] + record["rejected"]:
        yield f"shard {shard}: read is not written plus rejected"
    for kind, counted in (("images", "written"), ("rejects", "rejected")):
        file = record["files"].get(kind)
        if file is None:
            if record[counted]:
                yield f"shard {shard}: has no file of {kind}"
            continue
        data = run.read(file["path"])
        if sha256(data) != file["sha256"]:
            yield f"{file['path']}: its checksum is not that of the record"
        keys = pq.read_table(io.BytesIO(data), columns=["key"])["key"]
        if len(keys) != record[counted]:
            yield f"{file['path']}: {len(keys)} rows, the record says {record[counted]}"
        if kind == "images" and pc.count_distinct(keys).as_py() != len(keys):
            yield f"{file['path']}: a key occurs twice"

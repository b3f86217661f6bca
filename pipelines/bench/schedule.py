"""What a shard costs the driver, and how long workers wait for the last one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.bench.nodes import kill, private_environment
from pipelines.bench.result import Result
from pipelines.bench.schedule_simulation import compare
from pipelines.errors import Incomplete
from pipelines.io import shards

SHARDS = 2000
EARLY = 200  # shards after which memory should grow no more
PROMISED = 10.0  # milliseconds of CPU time a shard
FLAT = 1.05
EVERY = 0.1  # seconds between looks
LIMIT = 600.0  # seconds


def measure(folder: str, seed: int) -> list[Result]:
    """See `driver` and `schedule_simulation.compare`."""
    return [*driver(folder), *compare()]


def driver(folder: str, count: int = SHARDS, early: int = EARLY) -> list[Result]:
    """Extract `count` shards without samples on one Ray actor that has no model.

    Raises Incomplete if that fails.
    """
    for index in range(count):
        shards.write(f"{folder}/shards/{index:05d}.tar", [])
    seen = _watched(f"{folder}/shards/*.tar", f"{folder}/run")
    cpu = float(Path(f"{folder}/run.log").read_text().split()[-1])
    first, last = (next(s for s in seen if s.shards >= n) for n in (early, count))
    more = 1000 * (last.cpu - first.cpu) / (last.shards - first.shards)
    return [
        Result(
            name=f"schedule: the driver's CPU time for {count} shards, its start included",
            ours=1000 * cpu / count,
            unit="ms a shard",
            most=PROMISED,
        ),
        Result("schedule: the driver's CPU time for one shard more", more, "ms"),
        Result(
            name=f"schedule: the driver's memory after {count} shards against {early}",
            ours=last.memory / 2**20,
            unit="MiB",
            theirs=first.memory / 2**20,
            against="MiB",
            ratio=last.memory / first.memory,
            most=FLAT,
        ),
    ]


class Look(NamedTuple):
    """What was seen of the driver at one moment."""

    shards: int
    """Committed by then."""
    memory: int
    """Resident bytes."""
    cpu: float
    """Seconds, of all its threads."""


def _watched(pattern: str, out: str) -> list[Look]:
    command = [sys.executable, "-m", "pipelines.bench.empty_extraction", pattern, out]
    with open(f"{out}.log", "wb") as log:
        child = subprocess.Popen(command, env=private_environment(), stdout=log, stderr=log)
        try:
            seen = list(_looks(child, Path(out, "shards")))
        finally:
            if child.poll() is None:
                kill(child.pid)
    if child.returncode:
        raise Incomplete(f"the extraction ended with {child.returncode}; see {log.name}")
    return seen


def _looks(child: subprocess.Popen[bytes], records: Path) -> Iterator[Look]:
    """Until it ends; it is ended after LIMIT."""
    deadline = time.monotonic() + LIMIT
    while child.poll() is None:
        done = len(os.listdir(records)) if records.exists() else 0
        if (look := _look(child.pid, done)) is not None:
            yield look
        if time.monotonic() > deadline:
            kill(child.pid)
        time.sleep(EVERY)


def _look(pid: int, done: int) -> Look | None:
    """None for a process that has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except (OSError, IndexError):
        return None
    cpu = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return Look(done, pages * os.sysconf("SC_PAGE_SIZE"), cpu)

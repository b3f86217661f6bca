"""What a shard costs the driver: CPU time, and memory that does not grow with them."""

import os
import subprocess
import sys
import time
from pathlib import Path

from pipelines.bench.nodes import kill, private_environment
from pipelines.bench.result import Result
from pipelines.errors import Incomplete
from pipelines.io import shards

SHARDS = 2000
EARLY = 200  # shards after which memory should grow no more
PROMISED = 10.0  # milliseconds of CPU time a shard
FLAT = 1.05
EVERY = 0.1  # seconds between looks
LIMIT = 600.0  # seconds


def measure(folder: str, seed: int) -> list[Result]:
    """See `driver`."""
    return driver(folder)


def driver(folder: str, count: int = SHARDS, early: int = EARLY) -> list[Result]:
    """Extract `count` shards without samples on one Ray actor that has no model.

    Raises Incomplete if that fails.
    """
    for index in range(count):
        shards.write(f"{folder}/shards/{index:05d}.tar", [])
    seen = _watched(f"{folder}/shards/*.tar", f"{folder}/run")
    cpu = float(Path(f"{folder}/run.log").read_text().split()[-1])
    first = next(memory for done, memory in seen if done >= early)
    return [
        Result("schedule: the driver's CPU time", 1000 * cpu / count, "ms a shard", most=PROMISED),
        Result(
            name=f"schedule: the driver's memory after {count} shards against {early}",
            ours=seen[-1][1] / 2**20,
            unit="MiB",
            theirs=first / 2**20,
            against="MiB",
            ratio=seen[-1][1] / first,
            most=FLAT,
        ),
    ]


def _watched(pattern: str, out: str) -> list[tuple[int, int]]:
    """The driver's resident bytes beside the number of shards that were committed by then."""
    command = [sys.executable, "-m", "pipelines.bench.empty_extraction", pattern, out]
    records = Path(out, "shards")
    seen = []
    with open(f"{out}.log", "wb") as log:
        child = subprocess.Popen(command, env=private_environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + LIMIT
        while child.poll() is None:
            done = len(os.listdir(records)) if records.exists() else 0
            if memory := _resident(child.pid):
                seen.append((done, memory))
            if time.monotonic() > deadline:
                kill(child.pid)
            time.sleep(EVERY)
    if child.returncode:
        raise Incomplete(f"the extraction ended with {child.returncode}; see {log.name}")
    return seen


def _resident(pid: int) -> int:
    """0 for a process that has gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

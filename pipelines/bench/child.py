"""A process of its own: how long it took and the most memory it ever held."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import Incomplete

EVERY = 0.1  # seconds between looks


class Cost(NamedTuple):
    """What a process took."""

    seconds: float
    peak: int
    """Bytes: the most that was ever resident."""


def cost(arguments: list[str], log: str) -> Cost:
    """Run Python with these arguments, imports included; what it says goes to the file `log`.

    Raises Incomplete if it fails.
    """
    most = 0
    with open(log, "wb") as file:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=file, stderr=file)
        while process.poll() is None:
            most = max(most, peak(process.pid))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
    if process.returncode:
        raise Incomplete(f"{' '.join(arguments[:3])} ended with {process.returncode}; see {log}")
    return Cost(seconds, most)


def peak(pid: int) -> int:
    """The kernel's high-water mark of resident memory, in bytes; 0 for a process that has gone."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 0

"""Who holds a run folder: what `lock.json` says, and whether that process lives."""

import json
import socket
import time
from typing import Any

from pipelines.errors import Locked
from pipelines.io.store import Run

STALE = 120.0  # seconds of silence after which a holder that cannot be asked is taken for dead
NAME = "lock.json"
LOOKS, BETWEEN = 3, 0.5  # times that a worker looks for its driver's name, and seconds between
Holder = dict[str, Any]
"""pid, host, started (see `started`), since and beat (both time.time())."""


def living(run: Run) -> Holder | None:
    """Who works in the folder now, if anyone lives that does."""
    found = read(run)
    return found if found is not None and alive(found) else None


def check(run: Run, token: tuple[Any, ...]) -> None:
    """Raise Locked unless the folder is still held by the run of this token.

    Workers ask before they publish a file: one whose driver is dead may live on for a while. A
    network's file system may show the file late, so it is looked at more than once.
    """
    for _ in range(LOOKS):
        now = read(run)
        if now is not None and name(now) == token:
            return
        time.sleep(BETWEEN)
    raise Locked(f"the run that this worker belongs to no longer holds {run.url}")


def read(run: Run) -> Holder | None:
    """The holder's words, if there are any."""
    try:
        return parse(run.read(NAME))
    except FileNotFoundError:
        return None


def parse(data: bytes) -> Holder | None:
    """The same from the bytes of the file; None where they are not whole."""
    try:
        found: Holder = json.loads(data)
    except ValueError:
        return None
    return found


def name(holder: Holder) -> tuple[Any, ...]:
    """What tells a holder from any other."""
    return holder["host"], holder["pid"], holder["since"]


def fresh(holder: Holder) -> bool:
    """Has it shown life lately?"""
    silent: float = time.time() - holder["beat"]
    return silent < STALE


def alive(holder: Holder) -> bool:
    """Asked of the system on its own host; elsewhere, only its heartbeat tells."""
    if holder["host"] != socket.gethostname():
        return fresh(holder)
    return started(holder["pid"]) == holder["started"]


def started(pid: int) -> str | None:
    """When a process of this host started, in ticks since boot; pids are used again, this is not.

    None if there is no such process.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return None

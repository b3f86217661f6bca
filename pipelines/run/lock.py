"""One run at a time in a run folder: `lock.json`, with a heartbeat that outlives no process.

On a local file system the lock file is created exclusively. Object stores have no such call
everywhere: there two runs that start within the same second may both get the lock.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import fsspec

from pipelines.errors import Locked
from pipelines.io.store import Run, write_json

HEARTBEAT = 20.0  # seconds between signs of life
STALE = 120.0  # seconds of silence after which a holder on another host is taken for dead


@contextlib.contextmanager
def held(run: Run, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock; Locked if another live run has it, with who and since when."""
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    _acquire(run, mine, say)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(run, mine, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        run.delete("lock.json")


def _acquire(run: Run, mine: dict[str, Any], say: Callable[[str], None]) -> None:
    if _create(run, mine):
        return
    holder = _read(run)
    if holder is not None and _alive(holder):
        raise Locked(
            f"{run.url} is being written by process {holder['pid']} on {holder['host']}; "
            "wait for it, or stop it, and run again"
        )
    if holder is not None:
        say(f"taking over the lock of process {holder['pid']} on {holder['host']}, which is gone")
    run.delete("lock.json")
    if not _create(run, mine):
        raise Locked(f"another run took the lock of {run.url} at this moment; run again")


def _create(run: Run, mine: dict[str, Any]) -> bool:
    url = run.at("lock.json")
    fs, path = fsspec.core.url_to_fs(url)
    if "file" in fs.protocol:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path, "x") as file:
                json.dump(mine | {"beat": time.time()}, file)
        except FileExistsError:
            return False
        return True
    if fs.exists(path):
        return False
    write_json(url, mine | {"beat": time.time()})
    return True


def _read(run: Run) -> dict[str, Any] | None:
    try:
        holder: dict[str, Any] = json.loads(run.read("lock.json"))
    except (FileNotFoundError, ValueError):
        return None
    return holder


def _alive(holder: dict[str, Any]) -> bool:
    if holder["host"] == socket.gethostname():
        return os.path.exists(f"/proc/{holder['pid']}") or _signals(holder["pid"])
    silent: float = time.time() - holder["beat"]
    return silent < STALE


def _signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _beat(run: Run, mine: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            write_json(run.at("lock.json"), mine | {"beat": time.time()})

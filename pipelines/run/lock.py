"""One run at a time in a run folder: `lock.json`, with a heartbeat that outlives no process.

On a local file system the kernel holds the lock (flock) and lets go of it when the process dies,
however it dies. On object stores the file is created exclusively (a conditional PUT) and counts
as long as its heartbeat is fresh. A holder that finds somebody else's name in the file stops
before it commits anything more.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import fsspec

from pipelines.errors import JobError, Locked, Unwritable, UsageError
from pipelines.io.files import is_local, reason, write_json
from pipelines.io.patience import patiently, waiting
from pipelines.io.store import Run
from pipelines.io.urls import without_secrets
from pipelines.run import holder

HEARTBEAT = 20.0  # seconds between signs of life
SETTLE = 2.0  # seconds after which a taken-over object is looked at again
NO_FLOCK = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class Held:
    """A lock, held or being taken; `file` is the open file that the kernel locks, where it does."""

    def __init__(self, run: Run, mine: dict[str, Any]) -> None:
        self.run, self.mine = run, mine
        self.file: int | None = None
        self.heard = time.monotonic()
        self.lost = False

    @property
    def token(self) -> tuple[Any, ...]:
        """What tells this holder from any other; for `holder.check`."""
        return holder.name(self.mine)

    def check(self) -> None:
        """Raise Locked if the lock went to somebody else; looks again after a silence."""
        if time.monotonic() - self.heard > holder.STALE / 2:
            with waiting(holder.STALE / 4):  # for the read, and the write after it
                self.beat()
        if self.lost:
            raise Locked(
                f"another run took over {self.run.url} while this one was silent; this one stops "
                "and what it committed stays"
            )

    def beat(self) -> None:
        """Say that this process lives, unless the lock is no longer its own."""
        now_holds = holder.read(self.run)
        if now_holds is not None and holder.name(now_holds) != holder.name(self.mine):
            self.lost = True
            return
        now = self.mine | {"beat": time.time()}
        if self.file is None:
            write_json(self.run.at(holder.NAME), now)
        else:
            _write(self.file, now)
        self.heard = time.monotonic()

    def release(self) -> None:
        """Let go of what was taken, be it in part; what carries another's name stays."""
        # Left behind, it is one of a dead process.
        with contextlib.suppress(Exception), waiting(HEARTBEAT):
            found = holder.read(self.run)
            if found is not None and holder.name(found) == holder.name(self.mine):
                self.run.delete(holder.NAME)
        if self.file is not None:
            os.close(self.file)


@contextlib.contextmanager
def held(run: Run, say: Callable[[str], None]) -> Iterator[Held]:
    """Hold the folder's lock.

    Raises Locked if another live run has it, with who; UsageError where the folder cannot be
    written at all.
    """
    mine = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": holder.started(os.getpid()),
        "since": time.time(),
    }
    lock = Held(run, mine)
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(lock, stop), daemon=True)
    try:  # a stop may come at any line, also while the lock is taken
        _acquire(lock, say)
        thread.start()
        yield lock
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()
        lock.release()


def _beat(lock: Held, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        # It is tried again, and silence has its own end.
        with contextlib.suppress(Exception), waiting(0):
            lock.beat()


def _acquire(lock: Held, say: Callable[[str], None]) -> None:
    """Take the lock; on a local file system, with an open file that holds it."""
    run = lock.run
    fs, path = fsspec.core.url_to_fs(run.at(holder.NAME))
    try:
        if is_local(fs):
            _take_file(lock, path, say)
        else:
            _take_object(run, lock.mine, say)
    except (JobError, MemoryError):
        raise
    except Exception as error:  # botocore's and aiohttp's errors are no OSError
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise Unwritable(f"{run.url} is full; make room and run again") from error
        place = without_secrets(run.url)
        raise UsageError(f"{place} cannot be written: {reason(error)}") from error


def _take_file(lock: Held, path: str, say: Callable[[str], None]) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    while lock.file is None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(file, path):
                lock.file = file
                _sign(lock.run, file, lock.mine, say)
            else:
                os.close(file)  # its last holder removed it before we had it
        except OSError as error:
            lock.file = None
            os.close(file)
            if isinstance(error, BlockingIOError):
                raise _locked(lock.run, holder.read(lock.run)) from None
            if error.errno in NO_FLOCK:
                _take_object(lock.run, lock.mine, say)
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        except BaseException:
            if lock.file is None:
                os.close(file)
            raise


def _sign(run: Run, file: int, mine: dict[str, Any], say: Callable[[str], None]) -> None:
    """Write our name over that of the last holder."""
    before = holder.parse(os.pread(file, 4096, 0))
    if before is not None and before["host"] != mine["host"] and holder.fresh(before):
        raise _locked(run, before)
    if before is not None:
        _say_taken(before, say)
    _write(file, mine | {"beat": time.time()})


def _same(file: int, path: str) -> bool:
    try:
        return os.fstat(file).st_ino == os.stat(path).st_ino
    except FileNotFoundError:
        return False


def _write(file: int, value: dict[str, Any]) -> None:
    """In place, in one call, since a new file would not be locked."""
    os.pwrite(file, json.dumps(value).ljust(512).encode(), 0)


def _take_object(run: Run, mine: dict[str, Any], say: Callable[[str], None]) -> None:
    if _create(run, mine):
        return
    before = holder.read(run)
    if before is not None and holder.alive(before):
        raise _locked(run, before)
    if before is not None:
        _say_taken(before, say)
    run.delete(holder.NAME)
    created = _create(run, mine)
    time.sleep(SETTLE)  # another that saw the same dead holder may delete what we have created
    now = holder.read(run)
    if not created or now is None or holder.name(now) != holder.name(mine):
        raise _locked(run, now)


def _create(run: Run, mine: dict[str, Any]) -> bool:
    fs, path = fsspec.core.url_to_fs(run.at(holder.NAME))
    data = json.dumps(mine | {"beat": time.time()}).encode()
    try:
        patiently(lambda: fs.pipe_file(path, data, mode="create"), run.url)
    except FileExistsError:
        there = holder.read(run)  # perhaps our own, if the first answer was lost
        return there is not None and holder.name(there) == holder.name(mine)
    return True


def _locked(run: Run, by: dict[str, Any] | None) -> Locked:
    who = f"process {by['pid']} on {by['host']}" if by else "another process"
    return Locked(
        f"{run.url} is being written by {who}; wait for it, or stop it, and run the same command "
        "again"
    )


def _say_taken(before: dict[str, Any], say: Callable[[str], None]) -> None:
    say(f"taking over the lock of process {before['pid']} on {before['host']}, which is gone")

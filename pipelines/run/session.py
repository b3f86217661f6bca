"""The folder of a Ray that a job starts for itself: private, and removed with it.

Its owner holds a lock in it, which the kernel drops however the owner ends. A folder whose lock
nobody holds is that of a dead process, whose Ray has died with it, and the next job removes it.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PLACE = Path("/tmp")  # not TMPDIR: Ray's sockets need short paths
PREFIX = "nhd-ray-"
OWNER = "owner"  # the file that is locked; folders without one are left alone


@contextlib.contextmanager
def session_folder() -> Iterator[Path]:
    """A folder that only this user can enter, for others in which Ray lets everybody write."""
    sweep()
    folder, lock = _made()
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def sweep() -> None:
    """Remove what dead processes of this user have left."""
    for folder in PLACE.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # held, another user's, or gone by now
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(lock)


def _remove(folder: Path) -> None:
    """The lock's file goes last: what Ray's processes write as they end is left to the next."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name != OWNER:
                shutil.rmtree(path, ignore_errors=True)
        if os.listdir(folder) == [OWNER]:
            shutil.rmtree(folder, ignore_errors=True)


def _made() -> tuple[Path, int]:
    """A new folder and its lock; made again if it was swept before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=PLACE))
        lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / OWNER).exists():
            return folder, lock
        os.close(lock)

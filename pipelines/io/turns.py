"""Turns at a store: no more than NHD_READS_PER_NODE requests for data at a time from one machine.

Each turn is a file that the kernel locks, so that all processes of the machine share them, and a
process that dies gives its turns back.
"""

import contextlib
import fcntl
import os
import random
import time
from collections.abc import Iterator

from pipelines.errors import UsageError
from pipelines.io.files import private_folder

VARIABLE = "NHD_READS_PER_NODE"
PAUSE = 0.01  # seconds between looks for a free turn; requests take longer


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Wait for a turn and hold it; at once where there is no limit."""
    count = limit()
    if not count:
        yield
        return
    file = _taken(count)
    try:
        yield
    finally:
        os.close(file)


def limit() -> int:
    """How many turns this machine has, 0 for any number; UsageError for what is no number."""
    told = os.environ.get(VARIABLE) or "0"
    if not told.isdecimal():
        raise UsageError(f"{VARIABLE}={told} should be a number of requests, or 0 for no limit")
    return int(told)


def _taken(count: int) -> int:
    """An open file that holds one of the locks."""
    folder = private_folder("nhd-turns")
    names = [os.path.join(folder, str(index)) for index in range(count)]
    while True:
        random.shuffle(names)  # else all would try for the same one first
        for name in names:
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                os.close(file)
            except BaseException:
                os.close(file)
                raise
        time.sleep(PAUSE)

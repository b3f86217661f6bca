"""Ending a job: it is asked to, given its time, and what became of it is told."""

import contextlib
import re
import time
from collections.abc import Callable

from pipelines.errors import Incomplete
from pipelines.submit.client import Away, Server
from pipelines.submit.job import Job

WAITS = ", for Ray ends no job that waits for its place before it has one"
WAIT = 60.0  # seconds; Ray kills a command that has not ended by itself after half of them


def stop(server: Server, job: str, say: Callable[[str], None]) -> Job:
    """Ask a job to end and wait until it has. Raises Incomplete if that takes over a minute."""
    if server.stop(job):
        say(f"asked {job} to end")
    elif later := _later(server, job):
        say(f"{job} is over, and was submitted again: nhd submit --cancel {later}")
    until, why = time.monotonic() + WAIT, ""
    while time.monotonic() < until:
        with contextlib.suppress(Away):  # it has been asked, which is what counts
            now = server.job(job)
            if now.over:
                return now
            why = WAITS if now.state == "PENDING" else ""
        time.sleep(0.5)
    raise Incomplete(
        f"{job} has been asked to end but has not yet{why}; see nhd status --job {job}"
    )


def _later(server: Server, job: str) -> str:
    """The attempt after this one that is not over; "" if there is none."""
    again = re.compile(rf"{re.escape(job)}-\d+")
    later = [one.id for one in server.jobs() if again.fullmatch(one.id) and not one.over]
    return later[-1] if later else ""

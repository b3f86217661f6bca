"""A job and its repetitions: what ended incomplete is submitted again, and goes on where it was."""

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

from pipelines.run.holder import STALE
from pipelines.submit.client import Server, Taken
from pipelines.submit.follow import Left, Out, follow, patiently
from pipelines.submit.job import Job, Request
from pipelines.submit.sentence import ending

LOCKED = 4


def attempts(
    server: Server, request: Request, retries: int, out: Out, say: Callable[[str], None]
) -> Job:
    """Submit a job and follow it to its end, again up to `retries` times.

    Again after 3 (incomplete), and after a command that died, was killed or lost its node. Its lock
    may outlive it for a while; the attempt that finds it, and ends with 4, is made once more.
    Raises Left as `follow` does.
    """
    number, died = 0, False
    while True:
        number += 1
        try:
            job = _attempt(server, request, number, out, say)
        except Taken:  # a name of somebody else's job is passed over, but for the one given
            if number == 1:
                raise
            continue
        except Left as error:
            if not retries:
                raise
            raise Left(
                f"{error}; nothing retries it from now on: if it ends incomplete, submit it again"
            ) from error
        if job.exit_code == LOCKED and died:
            died = False
            say(f"that lock is of the attempt that died; trying again in {STALE:.0f} seconds")
            time.sleep(STALE)
        elif job.exit_code == 3 and job.state != "STOPPED" and retries:
            retries -= 1
            died = job.died
            say(f"submitting it again, which resumes it ({retries} more times if need be)")
        else:
            return job


def _attempt(
    server: Server, request: Request, number: int, out: Out, say: Callable[[str], None]
) -> Job:
    request = replace(request, id=name_of(request.id, number))
    if number == 1:
        server.submit(request)
    else:  # the server may be away for what ended the attempt before
        patiently(_submission(server, request), server, request.id, say)
    say(f"{request.id} is submitted to {server.address}")
    job = follow(server, request.id, out, say)
    say(ending(job))
    return job


def _submission(server: Server, request: Request) -> Callable[[], None]:
    """Submit when called, unless an earlier call did and only its answer was lost."""
    calls = itertools.count()

    def submit() -> None:
        with contextlib.suppress(*([Taken] if next(calls) else [])):
            server.submit(request)

    return submit


def name_of(first: str, number: int) -> str:
    """The job's name in each attempt: x, x-2, x-3, ..."""
    return first if number == 1 else f"{first}-{number}"

"""A job's output as it is printed, over connections that may break, to the job's end."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from pipelines.errors import Incomplete
from pipelines.submit.client import Away, Server, Unknown
from pipelines.submit.job import Job
from pipelines.submit.sentence import how_to_go_on

LOOK = 10.0  # seconds without a word after which the server is asked whether the job is over
SILENCE = 60.0  # seconds without a word after which a connection is made anew
PATIENCE = 600.0  # seconds that a server may be away
PAUSE = 2.0  # seconds between two looks at a server that is away
OF_RAY = re.compile(
    r"^\S+ \S+\tINFO job_manager\.py:\d+ -- Runtime env is setting up\.$"
    r"|^Running entrypoint for job \S+: "
)


T = TypeVar("T")


class Left(Incomplete):
    """Nobody follows the job any more, which may well go on."""


class Out(Protocol):
    """Where text goes, such as sys.stdout."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Log:
    """A log that is printed once, though it is sent from its start with every connection."""

    def __init__(self, out: Out) -> None:
        self.out = out
        self.seen = 0  # characters
        self._line = ""

    def take(self, text: str, start: int) -> int:
        """Print what of `text`, which begins at character `start`, is new; where it ends."""
        end = start + len(text)
        if end > self.seen:
            self._print(text[max(0, self.seen - start) :])
            self.seen = end
        return end

    def _print(self, text: str) -> None:
        """Whole lines, but for the two that Ray adds."""
        *lines, self._line = (self._line + text).split("\n")
        kept = [f"{line}\n" for line in lines if not OF_RAY.match(line)]
        self.out.write("".join(kept))
        self.out.flush()

    def close(self) -> None:
        """Print what follows the last end of a line."""
        if self._line:
            self._print("\n")


def follow(server: Server, job: str, out: Out, say: Callable[[str], None]) -> Job:
    """Print a job's log to `out` until the job is over; what became of it.

    A connection that breaks is made anew, without a line lost or printed twice. Raises Left if the
    server does not answer for PATIENCE seconds, and on Ctrl-C, which leaves the job alone.
    """
    try:
        return _follow(server, job, Log(out), say)
    except KeyboardInterrupt:
        raise Left(f"detached from {job}, which goes on; {how_to_go_on(server, job)}") from None


def _follow(server: Server, job: str, log: Log, say: Callable[[str], None]) -> Job:
    said = ""
    while True:
        before = log.seen
        asyncio.run(_read(server, job, log))
        now = patiently(lambda: _now(server, job, log.seen > 0), server, job, say)
        if now.over:
            _rest(server, now, log, say)
            return now
        if now.state == "PENDING" and now.message != said:
            say(f"{job} waits: {now.message}")
            said = now.message
        if log.seen == before:
            time.sleep(PAUSE)


def _now(server: Server, job: str, known: bool) -> Job:
    try:
        return server.job(job)
    except Unknown:
        if not known:
            raise
        return Job(job, "LOST", message="the cluster was started anew and knows it no more")


def patiently(ask: Callable[[], T], server: Server, job: str, say: Callable[[str], None]) -> T:
    """Ask a server that may be away for a while. Raises Left after PATIENCE seconds."""
    since, told = time.monotonic(), False
    while True:
        try:
            return ask()
        except Away as error:
            if time.monotonic() - since > PATIENCE:
                raise Left(
                    f"{server.address} has not answered for {PATIENCE:.0f} seconds; when it is "
                    f"back, {how_to_go_on(server, job)}"
                ) from error
        if not told:
            say(f"{server.address} does not answer; {job} may go on without it, trying again ...")
        told = True
        time.sleep(PAUSE)


async def _read(server: Server, job: str, log: Log) -> None:
    """Read one connection until it ends, breaks or is silent for long, or the job is over."""
    position, silent = 0, 0.0
    pieces = server.tail(job)
    piece = asyncio.ensure_future(anext(pieces))
    while silent < SILENCE:
        done, _ = await asyncio.wait({piece}, timeout=LOOK)
        if not done:
            silent += LOOK
            if _is_over(server, job):
                break
            continue
        try:
            text = piece.result()
        except (StopAsyncIteration, Exception):  # aiohttp has many; the server is asked what is up
            return
        position, silent = log.take(text, position), 0.0
        piece = asyncio.ensure_future(anext(pieces))
    piece.cancel()


def _is_over(server: Server, job: str) -> bool:
    try:
        return server.job(job).over
    except Exception:
        return True  # for this connection


def _rest(server: Server, job: Job, log: Log, say: Callable[[str], None]) -> None:
    """What the connection may not have brought before the job was over."""
    try:
        text = server.log(job.id)
    except Exception:
        text = ""
        say("the end of its log is out of reach, with the node that it ran on")
    log.take(text, 0)
    log.close()

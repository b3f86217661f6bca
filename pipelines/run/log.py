"""Log lines: plain text, or with NHD_LOG=json one JSON object a line, of driver and workers alike.

Every object has `time` (UTC), `level` (info or error), `source` (driver or worker), `host`, `pid`
and `message`; where they are known, `run`, `kind` (of job) and `shard`; lines that tell of an
event have `event` and its numbers. Whatever is printed becomes such a line, whoever prints it;
what C libraries write past Python does not. No line has a secret in it.

A worker's lines go to its own stdout, where Ray collects them (`ray logs`, the dashboard).
"""

import contextlib
import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from pipelines.environment import secrets
from pipelines.errors import UsageError
from pipelines.io.urls import redact

SWITCH = "NHD_LOG"
FAILURE = "nhd: "  # how the command line begins the sentence that says why it ended

_context: dict[str, str] = {}  # of this process
_shard: ContextVar[str | None] = ContextVar("shard", default=None)  # of this thread


def begin(source: str, document: bool = False) -> None:
    """From now on, lines are written as NHD_LOG says; `source` is driver or worker.

    Where stdout is a document that somebody asked for (`--json`), it stays as it is. Raises
    UsageError on a format that is not known. A second call changes nothing more.
    """
    wanted = os.environ.get(SWITCH, "text")
    if wanted not in ("text", "json"):
        raise UsageError(f"{SWITCH} is '{wanted}'; it can be text or json")
    if wanted == "text" or isinstance(sys.stderr, Lines):
        return
    _context["source"] = source
    sys.stderr = Lines(sys.stderr)
    if not document:
        sys.stdout = Lines(sys.stdout)


def about(**fields: str) -> None:
    """Fields that every later line of this process has."""
    _context.update(fields)


def event(name: str, message: str, level: str = "info", **fields: Any) -> None:
    """A line on an event; in plain text there is none."""
    if isinstance(sys.stderr, Lines):
        out = sys.stdout if isinstance(sys.stdout, Lines) else sys.stderr
        out.put({"level": level, "message": message, "event": name, **fields})


@contextlib.contextmanager
def shard(name: str) -> Iterator[dict[str, Any]]:
    """Events around the work on a shard; what is put into the dict is told at its end."""
    token, start = _shard.set(name), time.monotonic()
    counts: dict[str, Any] = {}
    event("shard_started", f"{name} started")
    try:
        yield counts
    except Exception as error:
        spent = round(time.monotonic() - start, 3)
        why = f"{type(error).__name__}: {error}"
        event("shard_failed", f"{name} failed: {why}", "error", seconds=spent, error=why)
        raise
    else:
        spent = round(time.monotonic() - start, 3)
        told = "".join(f", {value:g} {name}" for name, value in counts.items())
        event("shard_done", f"{name} done in {spent:g} s{told}", seconds=spent, **counts)
    finally:
        _shard.reset(token)


class Lines(io.TextIOBase):
    """A text stream that makes one JSON object of each line written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lock = threading.RLock()
        self.rest = ""

    def write(self, text: str) -> int:
        """Take text in; what makes no whole line yet waits for the rest."""
        with self.lock:
            *whole, self.rest = (self.rest + text).split("\n")
            for line in whole:
                if line.strip():
                    level = "error" if line.startswith(FAILURE) else "info"
                    self.put({"level": level, "message": line.rpartition("\r")[2]})
        return len(text)

    def put(self, fields: dict[str, Any]) -> None:
        """Write one object."""
        whole = json.dumps(_dressed(fields), ensure_ascii=False, default=str)
        with self.lock:
            self.stream.write(whole + "\n")
            self.stream.flush()

    def flush(self) -> None:
        """Hand on what is whole."""
        self.stream.flush()

    def fileno(self) -> int:
        """That of the stream below, for processes that inherit it."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """Yes."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below."""
        return self.stream.encoding


def _dressed(fields: dict[str, Any]) -> dict[str, Any]:
    """With time, place and context; redacted."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    place = {"host": socket.gethostname(), "pid": os.getpid()}
    of = {"shard": name} if (name := _shard.get()) else {}
    known = secrets()
    whole = {"time": now, **_context, **place, **of, **fields}
    return {k: redact(v, known) if isinstance(v, str) else v for k, v in whole.items()}

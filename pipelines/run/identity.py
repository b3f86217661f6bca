"""The id of a run folder, and the job that is done in it: what metrics and logs go by."""

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipelines.io.store import Run
from pipelines.io.urls import without_secrets
from pipelines.run import log
from pipelines.run.runner import Worker

KEY = "run_id"  # in run.json
BEGUN = "begun"
"""In run.json: when the run was first extracted, in UTC."""


class Job(NamedTuple):
    """Who speaks: the id of the folder that is written, and what is done there."""

    run: str
    kind: str
    """`extract`, `evaluate`, `segment`, `calibrate`, `atlas` or `compact`."""

    def worker(self, build: Callable[[], Worker]) -> Callable[[], Worker]:
        """`build`, for workers whose log lines say whose they are."""
        return _Speaking(build, self)


@dataclass(frozen=True)
class _Speaking:
    build: Callable[[], Worker]
    job: Job

    def __call__(self) -> Worker:
        log.begin("worker")
        log.about(**self.job._asdict())
        return self.build()


def job_in(folder: Run, kind: str, id: str | None = None) -> Job:
    """The job of this kind in this folder; the log lines of this process are its from now on."""
    job = Job(id or run_id(folder), kind)
    log.about(**job._asdict())
    return job


def run_id(folder: Run) -> str:
    """The id in run.json; for folders without one, an id made of their name and URL.

    A run's id is drawn once, when it is first extracted (`new_id`), and stays its own when the
    folder is copied. Runs older than that, and the folders of other jobs, have no id to read; what
    they get is the same for the same URL, and extraction writes it into run.json.
    """
    if folder.exists("run.json"):
        info: dict[str, Any] = json.loads(folder.read("run.json"))
        if KEY in info:
            return str(info[KEY])
    url = without_secrets(folder.url)
    return _id(url, hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest())


def new_id(folder: Run) -> str:
    """The id of a run that begins; one that is there keeps its own."""
    if folder.exists("run.json"):
        return run_id(folder)
    return _id(without_secrets(folder.url), secrets.token_hex(4))


def own(folder: Run, job: Job) -> dict[str, str]:
    """What run.json alone says of a run, so that equal shards give equal bytes: id and beginning.

    A run older than this does not learn when it was begun.
    """
    begun: str | None = datetime.now(UTC).isoformat(timespec="seconds")
    if folder.exists("run.json"):
        begun = json.loads(folder.read("run.json")).get(BEGUN)
    return {KEY: job.run} | ({BEGUN: begun} if begun else {})


def _id(url: str, digits: str) -> str:
    """The folder's name, for people, and eight hex digits."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", url.rstrip("/").rpartition("/")[2])
    return f"{name[:40]}-{digits[:8]}"

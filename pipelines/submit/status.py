"""What is known of submitted jobs, as JSON and as lines to read."""

import itertools
import shlex
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import JobError
from pipelines.io.urls import redact
from pipelines.submit.job import Job
from pipelines.submit.sentence import ending, first_line
from pipelines.terminal.aligned import aligned, shortened

FOLDERS = ("--out", "--run")


def told(job: Job) -> dict[str, Any]:
    """A job as JSON: id, state, exit_code (null before its end), times in UTC, command."""
    return {
        "id": job.id,
        "state": job.state,
        "exit_code": job.exit_code if job.over else None,
        "started": _time(job.started),
        "ended": _time(job.ended),
        "seconds": _seconds(job),
        "command": _command(job),
        "message": redact(first_line(job.message)),
    }


def known(job: Job) -> dict[str, Any]:
    """The same, with `sentence` and the status of its run folder as `run`, if it can be read."""
    from pipelines.run.status import status

    found: dict[str, Any] = told(job) | {"sentence": _sentence(job), "folder": _folder(job)}
    found["run"] = None
    if found["folder"]:
        try:
            found["run"] = status(found["folder"])
        except (JobError, OSError, ValueError, ImportError) as error:
            found["unread"] = redact(str(error))
    return found


def job_lines(found: dict[str, Any]) -> list[str]:
    """What `known` found, to be read."""
    from pipelines.run.status import lines

    text = [found["sentence"], f"command: {found['command']}"]
    if found["run"] is not None:
        text += lines(found["run"])
    elif found["folder"]:
        text.append(f"no status of its folder: {found['unread']}")
    return text


def table(jobs: Iterable[Job], wide: int) -> list[str]:
    """A line per job, the latest last."""
    rows = [["job", "state", "exit", "started (UTC)", "took", "command"]]
    for job in map(told, jobs):
        code = "" if job["exit_code"] is None else str(job["exit_code"])
        began = (job["started"] or "")[:16].replace("T", " ")
        rows.append([job["id"], job["state"], code, began, _span(job["seconds"]), job["command"]])
    if len(rows) == 1:
        return ["no job has been submitted to this cluster"]
    return [shortened(line, max(wide, 60)) for line in aligned(rows, right=(2, 4))]


def _sentence(job: Job) -> str:
    """Where the job is now."""
    span = _span(_seconds(job))
    if job.state == "PENDING":
        return f"{job.id} has waited for {span}: {first_line(job.message)}"
    if job.state == "RUNNING":
        return f"{job.id} has been running for {span}"
    return f"{ending(job)} (exit code {job.exit_code}, after {span})"


def _command(job: Job) -> str:
    """The command as a user types it."""
    return redact(job.entrypoint.removeprefix("python -m jobs.cli ").strip())


def _folder(job: Job) -> str | None:
    try:
        words = shlex.split(job.entrypoint)
    except ValueError:  # of a job that somebody else sent
        return None
    for word, following in itertools.pairwise([*words, ""]):
        flag, _, value = word.partition("=")
        if flag in FOLDERS:
            return value or following or None
    return None


def _seconds(job: Job) -> float | None:
    return None if job.started is None else round((job.ended or time.time()) - job.started, 1)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"

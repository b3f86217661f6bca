"""How a job ended, and what can be done with one that goes on, in one sentence each."""

from typing import TYPE_CHECKING

from pipelines.submit.job import OURS, Job

if TYPE_CHECKING:
    from pipelines.submit.client import Server

MEANS = {1: "a threshold was crossed", 2: "wrong usage", 3: "incomplete", 4: "locked"}


def how_to_go_on(server: "Server", job: str) -> str:
    """What can be done with a job that nobody follows."""
    command = f"nhd submit --address {server.address}"
    return f"{command} --attach {job} follows it, and with --cancel {job} ends it"


def ending(job: Job) -> str:
    """The sentence; of a job that failed, with what can be done where that is known."""
    if job.state == "STOPPED":
        return f"{job.id} was stopped; what it committed stays, and the same command resumes it"
    if job.unprepared or job.code in (126, 127):
        what = job.unprepared or "there is no `python`"
        return (
            f"{job.id} could not start: {what}; the `python` on the PATH of the nodes needs nhd's "
            "dependencies (infra/Dockerfile is an image that has them)"
        )
    if job.state == "SUCCEEDED":
        return f"{job.id} is done"
    if job.state == "FAILED" and job.code in OURS:
        return f"{job.id} ended with exit code {job.code}: {MEANS.get(job.code or 0, '')}"
    if job.state == "FAILED" and job.code is not None:
        return f"{job.id} died: {_death(job.code)}"
    return f"{job.id} {job.state.lower()}: {first_line(job.message)}"


def _death(code: int) -> str:
    signal = -code if code < 0 else code - 128  # a shell's way to say it
    if not 0 < signal < 65:
        return f"its command ended with exit code {code}"
    why = ", which is also what a node short of memory does" if signal == 9 else ""
    return f"signal {signal} ended its command{why}"


def first_line(text: str) -> str:
    """The first line that says something."""
    lines = (line.strip() for line in text.splitlines())
    return next(filter(None, lines), "no reason is known")

"""`nhd status`: its arguments, and what it calls."""

import json
from dataclasses import dataclass
from typing import Any

from jobs.arguments import Flag
from jobs.terminal import terminal_width
from pipelines.errors import Incomplete, UsageError


@dataclass(frozen=True)
class Status:
    """Progress and health of a run folder, from the folder alone; or of what was submitted."""

    run: str | None = None
    """The run folder."""
    job: str | None = None
    """A job that was submitted: its state, and that of its run folder if it can be read here."""
    jobs: Flag = False
    """All jobs that the cluster knows."""
    address: str = ""
    """The cluster's Jobs server, as for `nhd submit`."""
    json: Flag = False
    """Print JSON."""
    check: Flag = False
    """Also read every file again and compare it with the commit records."""

    def __call__(self) -> None:
        if sum((self.run is not None, self.job is not None, self.jobs)) != 1:
            raise UsageError("give one of --run, --job and --jobs")
        if self.check and self.run is None:
            raise UsageError("--check reads a folder again: give it with --run")
        found, text = self._run() if self.run is not None else self._of_cluster()
        print(json.dumps(found, indent=2) if self.json else "\n".join(text))
        if isinstance(found, dict) and found.get("problems"):
            raise Incomplete(f"{len(found['problems'])} files are not what their records say")

    def _run(self) -> tuple[dict[str, Any], list[str]]:
        from pipelines.run.status import lines, status

        assert self.run is not None
        found = status(self.run, self.check)
        return found, lines(found)

    def _of_cluster(self) -> tuple[Any, list[str]]:
        from jobs.commands.submit import server_at
        from pipelines.submit.status import job_lines, known, table, told

        server = server_at(self.address)
        if self.job is None:
            jobs = server.jobs()
            return [told(job) for job in jobs], table(jobs, terminal_width())
        found = known(server.job(self.job))
        return found, job_lines(found)

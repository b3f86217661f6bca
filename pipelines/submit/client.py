"""A Ray cluster's Jobs server, asked through Ray's own client; its errors as sentences."""

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from pipelines.errors import Incomplete, JobError, UsageError
from pipelines.io.urls import redact
from pipelines.submit.job import Job, Request

CONNECT, ANSWER = 10.0, 30.0  # seconds that a connection may take, and each answer
TOKEN = (
    "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the cluster's token or put it into "
    "~/.ray/auth_token"
)
STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"  # read by Ray where the command runs
LOGGERS = ("ray.dashboard.modules", "ray._private.runtime_env")


class Away(Incomplete):
    """The server does not answer."""


class Unknown(UsageError):
    """The server knows no such job."""


class Taken(UsageError):
    """There is a job of this name."""


class _Client(JobSubmissionClient):
    """Ray's client waits forever on a connection that nobody ends; this one does not."""

    def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": (CONNECT, ANSWER), **more})

    def upload(self, package: Path) -> str:
        """Upload a zip unless the cluster has it; its address there, which Ray unpacks itself.

        (A file named .whl it would give to the node's pip, which a node need not have.)
        """
        uri: str = self._upload_package_if_needed(
            str(package), include_gitignore=False, is_file=True
        )
        return uri


class Server:
    """A Jobs server at an address such as http://head:8265."""

    def __init__(self, address: str) -> None:
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # which Ray prefers to what it is given
        for name, logger in logging.root.manager.loggerDict.items():
            if name.startswith(LOGGERS) and isinstance(logger, logging.Logger):
                logger.setLevel(logging.WARNING)  # they speak of packages and web sockets
        self.address = address
        with self._sentences():
            self._client = _Client(address)
        self.version: str = self._client._server_ray_version or ""

    def submit(self, request: Request) -> str:
        """Send a job; its id. What the cluster has of its code and files is not sent again."""
        with tempfile.TemporaryDirectory() as folder, self._sentences():
            sent: str = self._client.submit_job(
                entrypoint=request.entrypoint,
                submission_id=request.id,
                runtime_env=self._runtime_env(request, Path(folder)),
                entrypoint_num_cpus=request.driver.cpus or None,
                entrypoint_num_gpus=request.driver.gpus or None,
                entrypoint_memory=request.driver.memory or None,
                entrypoint_resources=dict(request.driver.resources) or None,
            )
        return sent

    def _runtime_env(self, request: Request, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {"env_vars": {STOP_WAIT: "30", **request.env}}
        if request.files:
            for name, data in request.files.items():
                path = folder / "files" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                path.chmod(0o755)  # which travels: some are scripts that are to be started
            found["working_dir"] = str(folder / "files")
        if request.code is not None:
            package = folder / "nhd.zip"  # a wheel is a zip
            package.write_bytes(request.code)
            found["py_modules"] = [self._client.upload(package)]
        return found

    def job(self, name: str) -> Job:
        """What is known of a job. Raises Unknown, Away."""
        with self._sentences(name):
            return _job(self._client.get_job_info(name))

    def jobs(self) -> list[Job]:
        """All jobs that were submitted, the oldest first."""
        with self._sentences():
            found = [_job(job) for job in self._client.list_jobs() if job.submission_id]
        return sorted(found, key=lambda job: job.started or 0)

    def log(self, name: str) -> str:
        """All that a job has printed."""
        with self._sentences(name):
            text: str = self._client.get_job_logs(name)
        return text

    async def tail(self, name: str) -> AsyncIterator[str]:
        """What a job prints, from its first line to its last, in pieces as it comes."""
        with self._sentences(name):
            async for text in self._client.tail_job_logs(name):
                yield text

    def stop(self, name: str) -> bool:
        """Ask a job to end: SIGTERM, and a few seconds later SIGKILL. Was it running?"""
        with self._sentences(name):
            stopped: bool = self._client.stop_job(name)
        return stopped

    def python(self) -> str:
        """The version of the head's Python; "" where the server does not say."""
        with contextlib.suppress(Exception):
            answer = self._client._do_request("GET", "/api/v0/cluster_metadata")
            return str(answer.json()["data"]["pythonVersion"])
        return ""

    @contextlib.contextmanager
    def _sentences(self, job: str = "") -> Iterator[None]:
        """Ray's errors, and those below it, in one sentence each."""
        try:
            yield
        except AuthenticationError as error:
            given = "none" if "Authentication required" in str(error) else "a wrong one"
            raise UsageError(
                f"{self.address} asks for a token and was given {given}: {TOKEN}"
            ) from error
        except (ConnectionError, requests.RequestException, TimeoutError) as error:
            raise Away(
                f"no Jobs server answers at {self.address}; is it the address of Ray's dashboard "
                "(port 8265 unless chosen otherwise), and can it be reached from here?"
            ) from error
        except RuntimeError as error:
            raise self._of_ray(str(error), job) from error

    def _of_ray(self, text: str, job: str) -> JobError:
        """The error that an answer other than 200 stands for."""
        if job and "status code 404" in text:
            return Unknown(
                f"{self.address} knows no job {job}; nhd status --jobs lists those it knows"
            )
        if taken := re.search(r"Job with submission_id (\S+) already exists", text):
            return Taken(
                f"there has been a job {taken[1]} already: nhd submit --attach {taken[1]} follows "
                "it, and another --id makes a new one"
            )
        if "Version check returned" in text:
            return UsageError(
                f"what answers at {self.address} is no Jobs server of Ray; give the address of its "
                "dashboard (port 8265 unless chosen otherwise)"
            )
        if "No available agent" in text:
            return Away(f"{self.address} has no agent for jobs yet; try again in a minute")
        last = [line.strip() for line in text.splitlines() if line.strip()][-1]
        return Incomplete(f"the Jobs server at {self.address} could not do it: {redact(last)}")


def _job(found: Any) -> Job:
    return Job(
        id=found.submission_id,
        state=found.status.value,
        entrypoint=found.entrypoint,
        message=found.message or "",
        code=found.driver_exit_code,
        started=found.start_time and found.start_time / 1000,
        ended=found.end_time and found.end_time / 1000,
        node=found.driver_node_id,
    )


def ray_version() -> str:
    """Ray's version here."""
    return str(ray.__version__)

"""A real S3 server for tests, in a process of its own, that fails as often as it is told to.

`tests.faulty_s3` is that process; here is what starts it, steers it, and makes it the S3 of a test.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from unittest import mock

import pytest

from tests import faulty_s3
from tests.faulty_s3 import CONTROL, FAULTS


class Seen(NamedTuple):
    """What passed since the rate was set, but for cut answers."""

    bytes: int
    """Of bodies, of answers to all requests."""
    at_once: int
    """The most requests for bodies that were carried out together."""
    paid_for: int
    """Requests whose sender offers to pay."""


@dataclass(frozen=True)
class Server:
    """A running S3; `endpoint` injects faults, `direct` never does."""

    endpoint: str
    direct: str

    def set_rate(
        self, rate: float, seed: int = 0, faults: Sequence[str] = FAULTS, **more: int
    ) -> None:
        """From now on, `rate` of the requests meet one of `faults`; counts start anew.

        `more`: the next `away` requests find it not there at all; no answer passes with more than
        `most` bytes.
        """
        told = {"rate": rate, "seed": seed, "faults": list(faults), **more}
        _ask(self.endpoint, "PUT", CONTROL, json.dumps(told).encode())

    def faults(self) -> dict[str, int]:
        """How many faults of each kind were injected since the rate was set."""
        return dict(json.loads(_ask(self.endpoint, "GET", CONTROL))["faults"])

    def requests(self) -> dict[str, int]:
        """How many requests of each HTTP method arrived since the rate was set."""
        return dict(json.loads(_ask(self.endpoint, "GET", CONTROL))["requests"])

    def seen(self) -> Seen:
        """What passed since the rate was set."""
        found = json.loads(_ask(self.endpoint, "GET", CONTROL))["seen"]
        return Seen(*(int(found.get(name, 0)) for name in Seen._fields))

    def environment(self) -> dict[str, str]:
        """What makes s3:// URLs mean this server, also in a Ray runtime_env's env_vars."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing-key",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def bucket(self) -> str:
        """A new, empty bucket's URL, such as s3://bucket-1f0c."""
        name = f"bucket-{uuid.uuid4().hex[:8]}"
        _ask(self.direct, "PUT", f"/{name}")
        return f"s3://{name}"


@contextlib.contextmanager
def s3_server(rate: float = 0.0, seed: int = 0) -> Iterator[Server]:
    """Start the server process, and end it on leaving; sets nothing in this process.

    Raises RuntimeError if the process ends before it listens.
    """
    command = [sys.executable, faulty_s3.__file__]
    # The child ends when its standard input does, so it cannot outlive a killed test.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the S3 server ended before it listened; see its error above")
            server = Server(**json.loads(line))
            server.set_rate(rate, seed)
            yield server
        finally:
            process.kill()


@contextlib.contextmanager
def as_default(server: Server, **more: str) -> Iterator[Server]:
    """Let every s3:// URL of this process and of those it starts mean `server`.

    `more` are further environment variables, such as AWS_MAX_ATTEMPTS="1". Workers of a Ray that
    runs already do not see them. Nobody waits for the server, unless NHD_PATIENCE is among them.
    """
    from s3fs import S3FileSystem

    with mock.patch.dict(os.environ, {**server.environment(), "NHD_PATIENCE": "0", **more}):
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
        # A file system remembers its endpoint and what it listed.
        S3FileSystem.clear_instance_cache()
        try:
            yield server
        finally:
            S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def s3_process() -> Iterator[Server]:
    """One server for the session."""
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: Server) -> Iterator[Server]:
    """The session's server as the default S3 of the test; it starts without faults."""
    s3_process.set_rate(0.0)
    with as_default(s3_process):
        yield s3_process


def _ask(endpoint: str, method: str, path: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Length": str(len(body or b""))})
        answer = connection.getresponse()
        data = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path} was answered {answer.status}: {data!r}")
    return data

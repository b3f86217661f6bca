"""A real Ray head with its Jobs server on loopback, under a token of its own."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.bench.nodes import OBJECT_STORE, end, private_environment

START = 120.0  # seconds
OUTSIDE = range(21000, 32000)  # of the ports that Ray gives to workers, and of the system's own


class Head:
    """One node, its Jobs server at `url`; `environment` is a user's who has the token."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="nhd-", dir="/tmp")  # Ray's sockets need short paths
        binaries = os.path.dirname(sys.executable)
        self.environment = private_environment() | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_raylet_start_wait_time_s": "120",
            "PATH": f"{binaries}:{os.environ['PATH']}",
        }
        dashboard, client, agent = _free(3)
        self.url = f"http://127.0.0.1:{dashboard}"
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--head", "--port=0",
            "--num-cpus=2", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
            f"--dashboard-agent-listen-port={agent}", "--min-worker-port=0", "--max-worker-port=0",
            "--disable-usage-stats", f"--object-store-memory={OBJECT_STORE}",
            f"--temp-dir={self.folder}",
        ]  # fmt: skip
        self.log = Path(self.folder, "start.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True,
                cwd="/tmp",
            )  # fmt: skip
        self.environment["RAY_API_SERVER_ADDRESS"] = self.url

    def wait(self) -> None:
        """Until it takes jobs."""
        deadline = time.monotonic() + START
        while "Ray runtime started" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command as a user of the cluster runs it."""
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", *arguments], env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def nhd(self, *arguments: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def close(self) -> None:
        """End all that was started here."""
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def head() -> Iterator[Head]:
    """A head for a while."""
    one = Head()
    try:
        one.wait()
        yield one
    finally:
        one.close()


def _free(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(OUTSIDE)
        with socket.socket() as test, contextlib.suppress(OSError):
            test.bind(("127.0.0.1", port))
            found.append(port)
    return found

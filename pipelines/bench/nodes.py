"""A Ray cluster of several nodes on this machine, each of which can be killed."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

OBJECT_STORE = 80 * 2**20  # bytes; Ray's least is 75 MiB
START = 60.0  # seconds that a head may take


class Nodes:
    """A head with no CPU for work, and nodes of one CPU; all of them real `ray start` processes.

    Ray's ports listen on all interfaces; a token of this cluster's own guards them.
    """

    def __init__(self, count: int) -> None:
        self.folder = tempfile.mkdtemp(prefix="nhd-", dir="/tmp")  # Ray's sockets need short paths
        self.environment = private_environment() | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
        }
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.head = self._ray(
            "--head", "--port=0", "--num-cpus=0", "--include-dashboard=false",
            f"--temp-dir={self.folder}",
        )  # fmt: skip
        self.address = self._address()
        self.environment["RAY_ADDRESS"] = self.address
        for _ in range(count):
            self.add()

    def _ray(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += ["--disable-usage-stats", f"--object-store-memory={OBJECT_STORE}", *arguments]
        with open(f"{self.folder}/nodes.log", "ab") as log:
            return subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def _address(self) -> str:
        path = Path(self.folder, "ray_current_cluster")
        deadline = time.monotonic() + START
        while not path.exists():
            if time.monotonic() > deadline or self.head.poll() is not None:
                raise RuntimeError(
                    f"ray start failed: {Path(self.folder, 'nodes.log').read_text()}"
                )
            time.sleep(0.1)
        return path.read_text().strip()

    def add(self) -> None:
        """Start one more node."""
        self.nodes.append(self._ray(f"--address={self.address}", "--num-cpus=1"))

    def workers(self) -> list[int]:
        """Process ids of the actors."""
        return [pid for node in self.nodes for pid in descendants(node.pid, "ray::_Actor")]

    def lose(self, index: int) -> None:
        """Kill a node: its raylet and all that runs under it."""
        node = self.nodes.pop(index)
        for pid in [*descendants(node.pid, ""), node.pid]:
            kill(pid)
        node.wait()

    def close(self) -> None:
        """End all that was started here."""
        while self.nodes:
            self.lose(0)
        self.nodes = [self.head]
        self.lose(0)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(count: int) -> Iterator[Nodes]:
    """A cluster of `count` nodes for a while."""
    nodes = Nodes(count)
    try:
        yield nodes
    finally:
        nodes.close()


def private_environment() -> dict[str, str]:
    """That of this process, without what ties it to another cluster; one thread per process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return kept | {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


def extraction(pattern: str, out: str) -> list[str]:
    """The command of an extraction with the tiny model."""
    command = [sys.executable, "-m", "jobs.cli", "extract", "--data", pattern, "--out", out]
    return [*command, "--concepts", "yellow,car", "--columns", "source", "--batch-size", "16"]


def kill(pid: int) -> None:
    """SIGKILL, if it still lives."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descendants(root: int, title: str) -> list[int]:
    """Processes below `root` whose command line starts with `title`."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += below
    return [pid for pid in found if _command_line(pid).startswith(title)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""

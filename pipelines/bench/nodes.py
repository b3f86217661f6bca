"""A Ray cluster of several nodes on this machine, each of which can be killed."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import Incomplete

OBJECT_STORE = 80 * 2**20  # bytes; Ray's least is 75 MiB
START = 90.0  # seconds that a node may take to join
TRIES = 3


class Has(NamedTuple):
    """What a node says that it has."""

    cpus: int = 1
    gpus: int = 0


ONE = Has()


class Nodes:
    """A head with no CPU for work, and other nodes; all of them real `ray start` processes.

    Ray's ports listen on all interfaces; a token of this cluster's own guards them.
    """

    def __init__(self, *nodes: Has) -> None:
        self.folder = tempfile.mkdtemp(prefix="nhd-", dir="/tmp")  # Ray's sockets need short paths
        self.environment = private_environment() | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
        }
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.started = 0
        self.head = self._up(
            "--head", "--port=0", "--num-cpus=0", "--include-dashboard=false",
            f"--ray-client-server-port={_free_port()}", f"--temp-dir={self.folder}",
        )  # fmt: skip
        self.address = self._address()
        self.environment["RAY_ADDRESS"] = self.address
        for has in nodes:
            self.nodes.append(self._up(*self._joining(has)))

    def _address(self) -> str:
        """The head's, which Ray writes down a moment after it has said that it runs."""
        file, deadline = Path(self.folder, "ray_current_cluster"), time.monotonic() + START
        while time.monotonic() < deadline:
            if file.exists() and (found := file.read_text()):
                return found
            time.sleep(0.1)
        raise Incomplete(f"ray start told no address in {START:.0f} s")

    def _joining(self, has: Has = ONE) -> list[str]:
        return [f"--address={self.address}", f"--num-cpus={has.cpus}", f"--num-gpus={has.gpus}"]

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += ["--disable-usage-stats", f"--object-store-memory={OBJECT_STORE}", *arguments]
        self.started += 1
        with open(f"{self.folder}/{self.started}.log", "wb") as log:
            return subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def _up(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a node and wait until it has joined; Ray gives up at times where cores are few."""
        for _ in range(TRIES):
            node = self._start(*arguments)
            log = Path(f"{self.folder}/{self.started}.log")
            deadline = time.monotonic() + START
            while node.poll() is None and time.monotonic() < deadline:
                if "Ray runtime started" in log.read_text():
                    return node
                time.sleep(0.1)
            end(node)
        raise Incomplete(f"ray start failed {TRIES} times, the last with: {log.read_text()[-500:]}")

    def add(self) -> None:
        """Start one more node, which joins a while later; and again those that could not."""
        gone = [node for node in self.nodes if node.poll() is not None]
        self.nodes = [node for node in self.nodes if node not in gone]
        for _ in range(1 + len(gone)):
            self.nodes.append(self._start(*self._joining()))

    def workers(self) -> list[int]:
        """Process ids of the actors."""
        return [pid for node in self.nodes for pid in descendants(node.pid, "ray::_Actor")]

    def drain(self, index: int) -> None:
        """Tell Ray that a node will be taken away, as an autoscaler does for a spot instance."""
        told = "\0".join(_command_line(pid) for pid in descendants(self.nodes[index].pid, ""))
        node = re.findall(r"--node_id=(\w+)", told)[0]
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--node-id", node]
        command += ["--address", self.address, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
        command += ["--reason-message", "drained by nhd bench"]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def lose(self, index: int) -> None:
        """Kill a node: its raylet and all that runs under it."""
        end(self.nodes.pop(index))

    def close(self) -> None:
        """End all that was started here."""
        while self.nodes:
            self.lose(0)
        self.nodes = [self.head]
        self.lose(0)
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    """A head ends itself when the port of its client server is another head's, by default 10001."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextlib.contextmanager
def cluster(*nodes: Has) -> Iterator[Nodes]:
    """A cluster of these nodes, besides its head, for a while."""
    there = Nodes(*nodes)
    try:
        yield there
    finally:
        there.close()


def private_environment() -> dict[str, str]:
    """That of this process, without what ties it to another cluster; one thread per process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    patient = {"RAY_raylet_start_wait_time_s": f"{START:.0f}"}  # where cores are few
    return kept | patient | {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


def extraction(pattern: str, out: str) -> list[str]:
    """The command of an extraction with the tiny model."""
    command = [sys.executable, "-m", "jobs.cli", "extract", "--data", pattern, "--out", out]
    return [*command, "--concepts", "yellow,car", "--columns", "source", "--batch-size", "16"]


def end(node: subprocess.Popen[bytes]) -> None:
    """Kill a node's processes."""
    for pid in [*descendants(node.pid, ""), node.pid]:
        kill(pid)
    node.wait()


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

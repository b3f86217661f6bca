"""A Ray cluster on machines of their own: a head with the Jobs server, and nodes of one CPU.

Ray runs with its defaults, but for small object stores. A token of this cluster's own guards it.
"""

import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from infra.elastic.machines import Machine

HEAD, STORE, FIRST = 2, 3, 10
"""The last parts of the addresses of the head, the store, and before those of nodes."""
PORT, JOBS = 6379, 8265
OBJECT_STORE = 100 * 2**20  # bytes; Ray's least is 75 MiB
TRIES = 5


class Cluster:
    """A head and its nodes, by name; `shared` is the environment that each is started with.

    Args:
        folder: what the machines write.
        local: the path at which each sees its part of it; short, for the names of Ray's sockets.
        shared: variables of every node, such as the store's address and credentials.
    """

    def __init__(self, folder: Path, local: Path, shared: Mapping[str, str]) -> None:
        self.folder, self.local = folder, local
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
        self.environment = plain() | dict(shared) | self.token | {"HOME": str(local)}
        self.machines: dict[str, Machine] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.tries: Counter[str] = Counter()
        self._start("head")
        head = self.machines["head"].address
        self.address, self.jobs = f"{head}:{PORT}", f"http://{head}:{JOBS}"

    def _start(self, name: str) -> None:
        self.tries[name] += 1
        number = HEAD if name == "head" else FIRST + int(name.removeprefix("node"))
        machine = Machine(name, number, self.folder / name, self.local)
        own = [f"--node-ip-address={machine.address}", f"--temp-dir={self.local}/ray"]
        if name == "head":
            own += ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=true"]
            own += [f"--dashboard-host={machine.address}", f"--dashboard-port={JOBS}"]
        else:
            own += [f"--address={self.address}", "--num-cpus=1"]
        with self._log(name).open("wb") as log:
            self.processes[name] = machine.start(
                sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                "--disable-usage-stats", "--include-log-monitor=false",
                f"--object-store-memory={OBJECT_STORE}", *own,
                environment=self.environment, log=log,
            )  # fmt: skip
        self.machines[name] = machine

    def _log(self, name: str) -> Path:
        return self.folder / name / "ray_start.log"

    def add(self, name: str) -> None:
        """Switch on a node, which joins some seconds later; the head must have started."""
        self._start(name)

    def wait(self, name: str) -> None:
        """Wait until a node has joined."""
        while "Ray runtime started" not in self._log(name).read_text():
            self.tend()
            time.sleep(0.2)

    def tend(self) -> None:
        """Start again what has ended: Ray gives up at times where cores are few.

        Raises RuntimeError for one that has ended TRIES times.
        """
        for name in [
            name for name, process in self.processes.items() if process.poll() is not None
        ]:
            if self.tries[name] >= TRIES:
                raise RuntimeError(
                    f"{name} cannot start Ray: {self._log(name).read_text()[-1000:]}"
                )
            self.machines[name].switch_off()
            self._start(name)

    def lose(self, name: str) -> None:
        """A node fails as by a cut of power and network: nothing on it can say so to anyone."""
        del self.processes[name]
        self.machines[name].unplug()
        self.machines[name].switch_off()

    def close(self) -> None:
        """Switch everything off."""
        for machine in self.machines.values():
            machine.switch_off()


def plain() -> dict[str, str]:
    """This process's environment without what is about another cluster or store; one thread each.

    More threads than one would add up numbers in another order.
    """
    foreign = ("RAY_", "AWS_", "FSSPEC_", "NHD_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}

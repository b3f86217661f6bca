"""Machines of a private network on this one: each has its own address, processes and folder.

A machine is a set of Linux namespaces: network (an address on a bridge that leads nowhere else),
processes (switched off, all of them are gone at once, as by a power cut), mounts (its own /dev/shm,
and its own folder behind a path that is the same on all), and a host name. All of it lives inside
the namespaces that infra/elastic.sh makes, so that nothing is left when that ends.
"""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

NETWORK = "10.77.0"
BRIDGE = "nhd0"
HERE = f"{NETWORK}.1"
"""The address of this side of the bridge, where the submitter is."""
# The first process of a machine takes in those whose parents are gone: bash does.
INIT = """
set -e
hostname {name}
mount -t tmpfs -o size=1g shm /dev/shm
mount --bind {folder} {local}
ip link set lo up
echo ready
while sleep 3600; do :; done
"""


def lay_network() -> None:
    """The bridge that cables are plugged into."""
    _ip("link set lo up")
    _ip(f"link add {BRIDGE} type bridge")
    _ip(f"addr add {HERE}/24 dev {BRIDGE}")
    _ip(f"link set {BRIDGE} up")


class Machine:
    """A machine that is switched on, plugged in, and otherwise idle.

    Args:
        name: its host name.
        number: the last part of its address.
        folder: where what it writes to `local` really lies.
        local: the path at which every machine sees a folder of its own.
    """

    def __init__(self, name: str, number: int, folder: Path, local: Path) -> None:
        self.name, self.address = name, f"{NETWORK}.{number}"
        self.folder, self.local, self.cable = folder, local, f"cable{number}"
        folder.mkdir(parents=True, exist_ok=True)
        script = INIT.format(
            name=name, folder=shlex.quote(str(folder)), local=shlex.quote(str(local))
        )
        spaces = ["--net", "--mount", "--pid", "--uts", "--ipc", "--mount-proc"]
        errors = folder / "machine.log"
        with errors.open("wb") as log:
            self.shell = subprocess.Popen(
                ["unshare", *spaces, "--fork", "--kill-child", "bash", "-c", script],
                stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        assert self.shell.stdout
        if self.shell.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the machine {name} did not start: {errors.read_text().strip()}")
        self.init = _child(self.shell.pid)
        self._plug()

    def _plug(self) -> None:
        _ip(f"link add {self.cable} type veth peer name eth0 netns {self.shell.pid}")
        _ip(f"link set {self.cable} master {BRIDGE} up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def start(
        self, *command: str, environment: Mapping[str, str], log: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start a process on it."""
        return subprocess.Popen(
            self._inside(*command), env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str) -> None:
        """Run a short command on it; raises CalledProcessError if it fails."""
        subprocess.run(self._inside(*command), check=True)

    def _inside(self, *command: str) -> list[str]:
        spaces = ["--net", "--mount", "--pid", "--uts", "--ipc"]
        here = f"--wdns={self.local}"
        return ["nsenter", "--target", str(self.init), *spaces, here, "--", *command]

    def unplug(self) -> None:
        """Pull its cable: nothing reaches it, and nobody is told."""
        _ip(f"link set {self.cable} down")

    def plug_in(self) -> None:
        """Put the cable back."""
        _ip(f"link set {self.cable} up")

    def switch_off(self) -> None:
        """Cut its power: all its processes end with no chance to say goodbye."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        self.shell.wait()
        # The kernel takes its time to do so by itself, and the next machine may want the name.
        subprocess.run(["ip", "link", "delete", self.cable], check=False, stderr=subprocess.DEVNULL)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

"""drain.sh, a worker's preStop: it waits for the raylet to leave, but never longer than it may."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.infra.kustomize import KUBERAY
from tests.schedule.scripted import command, path_with

DRAIN = KUBERAY / "cluster" / "drain.sh"


@pytest.mark.parametrize(
    ("code", "leaves", "grace", "least"),
    [
        (0, 0.5, 60, 0.5),  # ends soon after the raylet has left
        (0, None, 2, 2),  # the raylet stays: Kubernetes waits no longer either
        (1, None, 60, 0),  # the head is gone, so there is nothing to wait for
    ],
)
def test_it_waits_for_the_raylet_and_no_longer(
    tmp_path: Path, code: int, leaves: float | None, grace: int, least: float
) -> None:
    command(tmp_path / "bin", "ray", f'echo "$*" > {tmp_path}/call; exit {code}')
    comm = tmp_path / "proc" / "7" / "comm"
    comm.parent.mkdir(parents=True)
    comm.write_text("raylet\n")
    began = time.monotonic()
    if leaves is not None:
        threading.Timer(leaves, comm.write_text, ["python\n"]).start()
    environment = {
        **os.environ,
        "PATH": path_with(tmp_path / "bin"),
        "PROC": str(tmp_path / "proc"),
    }
    found = subprocess.run(["sh", DRAIN, str(grace)], env=environment, timeout=60, check=False)
    assert found.returncode == 0
    assert least <= time.monotonic() - began <= 30
    said = (tmp_path / "call").read_text()
    assert said.startswith("drain-node --reason DRAIN_NODE_REASON_PREEMPTION")
    assert said.split()[-2:] == ["--deadline-remaining-seconds", str(grace)]

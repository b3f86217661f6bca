"""nhd submit against Ray's own Jobs server: real commands, real ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.bench.nodes import descendants, kill
from pipelines.extract.job import extract
from pipelines.io.store import Run
from pipelines.tiny.dataset import write_scenes
from tests.conftest import plan
from tests.submit.head import Head, head

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMMAND = ("--pretrained", "none", "--batch-size", "16", "--concepts", "yellow,car,brick")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Head]:
    """One head for the file."""
    with head() as one:
        yield one


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shards enough for an extraction that can be met in the middle."""
    folder = tmp_path_factory.mktemp("many")
    write_scenes(str(folder), 1200, seed=6, per_shard=20)
    return f"{folder}/*.tar"


def until(condition: Callable[[], object], seconds: float = 180) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def rows(out: Path) -> list[tuple[str, str]]:
    """Shard and key of every row, in order."""
    table = Run(str(out)).images(["shard", "key"])
    return sorted(zip(table["shard"].to_pylist(), table["key"].to_pylist(), strict=True))


def test_a_command_runs_there_and_its_output_and_exit_code_come_here(
    cluster: Head, scenes: str, tmp_path: Path
) -> None:
    (tmp_path / "concepts.txt").write_text("yellow\ncar\nbrick\n")
    out = tmp_path / "run"
    done = cluster.nhd(
        "submit", "--id", "first", "extract", "--data", scenes, "--out", str(out),
        *COMMAND[:4], "--concepts", f"{tmp_path}/concepts.txt",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0] == "3 shards"
    assert done.stdout.splitlines()[-1].startswith("90 images written, 0 rejected, of 90 read")
    assert "sends " in done.stderr and "first is done" in done.stderr
    assert len(rows(out)) == 90
    wrong = cluster.nhd("submit", "fit", "--run", "/nowhere", "--in-process")
    assert wrong.returncode == 2
    assert wrong.stdout == "nhd: /nowhere is not a run folder: it has no run.json\n"
    found = json.loads(cluster.nhd("status", "--job", "first", "--json").stdout)
    assert (found["state"], found["exit_code"]) == ("SUCCEEDED", 0)
    assert found["run"]["complete"] and found["run"]["written"] == 90


def test_a_job_outlives_its_terminal_and_is_followed_again(
    cluster: Head, scenes: str, tmp_path: Path
) -> None:
    arguments = ("extract", "--data", scenes, "--out", f"{tmp_path}/run", *COMMAND)
    sent = cluster.nhd("submit", "--no-wait", *arguments)
    assert sent.returncode == 0
    job = sent.stdout.strip()
    follower = cluster.start("submit", "--attach", job)
    assert follower.stdout is not None
    assert follower.stdout.readline() == "3 shards\n"
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=60)
    assert follower.returncode == 3 and f"--attach {job} follows it" in said
    again = cluster.nhd("submit", "--attach", job)
    assert again.returncode == 0 and "90 images written" in again.stdout
    once = cluster.nhd("submit", "--attach", job)
    assert once.stdout == again.stdout
    table = cluster.nhd("status", "--jobs").stdout
    assert job in table and "SUCCEEDED" in table


def test_a_cancelled_job_ends_cleanly_and_is_resumed(
    cluster: Head, many: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("extract", "--data", many, "--out", str(out), *COMMAND)
    follower = cluster.start("submit", "--id", "gone", *arguments)
    until(lambda: list(out.glob("shards/*.json")))
    ended = cluster.nhd("submit", "--cancel", "gone")
    assert ended.returncode == 0 and "gone was stopped" in ended.stderr
    printed, said = follower.communicate(timeout=60)
    assert follower.returncode == 3 and "gone was stopped" in said
    assert "nhd: stopped; what is committed stays" in printed
    assert not (out / "lock.json").exists()
    assert 0 < len(Run(str(out)).done()) < 60
    assert cluster.nhd("submit", *arguments).returncode == 0
    _agrees(many, out, tmp_path)


def test_a_driver_that_is_killed_is_submitted_again(
    cluster: Head, many: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    follower = cluster.start(
        "submit", "--retries", "1", "--id", "hurt",
        "extract", "--data", many, "--out", str(out), *COMMAND,
    )  # fmt: skip
    until(lambda: list(out.glob("shards/*.json")))
    kill(json.loads((out / "lock.json").read_bytes())["pid"])
    printed, said = follower.communicate(timeout=600)
    assert follower.returncode == 0, printed + said
    assert "hurt died: signal 9" in said and "hurt-2 is done" in said
    assert "taking over the lock" in printed or "already done" in printed
    _agrees(many, out, tmp_path)


def test_a_driver_that_does_not_stop_is_killed_and_nothing_is_half_committed(
    cluster: Head, many: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("extract", "--data", many, "--out", str(out), *COMMAND)
    job = cluster.nhd(
        "submit", "--no-wait", "--env", "RAY_JOB_STOP_WAIT_TIME_S=1", *arguments
    ).stdout.strip()
    until(lambda: list(out.glob("shards/*.json")))
    os.kill(json.loads((out / "lock.json").read_bytes())["pid"], signal.SIGSTOP)
    ended = cluster.nhd("submit", "--cancel", job)
    assert ended.returncode == 0 and "was stopped" in ended.stderr
    assert (out / "lock.json").exists()
    assert cluster.nhd("submit", *arguments).returncode == 0
    _agrees(many, out, tmp_path)


SEND = """
import sys
from pipelines.submit.client import Server
from pipelines.submit.job import Request
script = {"sent/tell.sh": b"#!/bin/sh\\necho told\\n"}
Server(sys.argv[1]).submit(Request("script", "./sent/tell.sh", files=script))
"""


def test_a_script_that_goes_along_can_be_started(cluster: Head) -> None:
    command = [sys.executable, "-c", SEND, cluster.url]
    subprocess.run(command, env=cluster.environment, check=True, timeout=120)
    done = cluster.nhd("submit", "--attach", "script")
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


def test_rays_own_command_does_as_well(cluster: Head, scenes: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["ray", "job", "submit", "--", "nhd", "extract", "--data", scenes,
         "--out", f"{tmp_path}/run", *COMMAND],
        env=cluster.environment | {"RAY_ADDRESS": cluster.url}, capture_output=True, text=True,
        check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "90 images written" in done.stdout
    assert len(rows(tmp_path / "run")) == 90


def _agrees(many: str, out: Path, folder: Path) -> None:
    """The run has the rows of one that was left in peace, and nothing of it runs any more."""
    calm = folder / "calm"
    extract(plan(many, calm))
    assert rows(out) == rows(calm) and len(rows(out)) == 1200
    until(lambda: not descendants(os.getpid(), "ray::_Actor"), 60)

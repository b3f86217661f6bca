"""Extraction while things break for real: processes killed, disks full, memory short."""

import contextlib
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from pipelines.bench.difference import Difference, difference
from pipelines.bench.nodes import ONE, cluster, descendants, end
from pipelines.errors import Incomplete, Locked, Unwritable, UsageError
from pipelines.extract.job import extract
from pipelines.io import files
from pipelines.io.store import Run
from pipelines.run.resources import Resources
from pipelines.run.runner import DEATHS
from pipelines.tiny.dataset import write_scenes
from tests.conftest import CONCEPTS, LABELS, plan
from tests.dying import PHASES, Dying

MiB = 2**20
Process = subprocess.Popen[str]


def agree(expected: str | Path, found: str | Path) -> None:
    """Rows, rejects and coefficients the same, bit by bit; moments to 1e-9."""
    seen = difference(Run(str(expected)), Run(str(found)))
    assert seen.moments <= 1e-9
    assert seen == Difference(0, 0, 0, 0, 0, seen.moments, 0)


def start(data: str, out: Path, *more: str, env: dict[str, str] | None = None) -> Process:
    """`nhd extract` with the settings of `plan`, as a process of its own, on one thread."""
    asked = ["extract", "--data", data, "--out", str(out), "--pretrained", "none"]
    asked += ["--concepts", ",".join(CONCEPTS), "--labels", ",".join(LABELS)]
    asked += ["--columns", "year,source", "--batch-size", "16", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**(env or os.environ), "OMP_NUM_THREADS": "1"},
    )


def ended(process: Process) -> tuple[int, str]:
    """Exit code, and what was printed."""
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in err
    return process.returncode, out + err


LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF0000" + "0100007F"}


def listening(root: int) -> list[str]:
    """The addresses, as /proc/net has them, at which a process and those it started listen."""
    sockets: set[str] = set()
    for pid in [root, *descendants(root, "")]:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(file))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [r[1].partition(":")[0] for r in rows if r[3] == "0A" and f"socket:[{r[9]}]" in sockets]


def until(happened: Callable[[], object], process: Process) -> None:
    """Wait for something in the run folder."""
    deadline = time.monotonic() + 200
    while not happened() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert happened(), process.communicate()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums are added in one order only."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(name="one_thread")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A shard of 20 scenes for each phase, named after it, and three more."""
    folder = tmp_path_factory.mktemp("phases")
    urls = write_scenes(str(folder), 160, seed=3, per_shard=20)
    for url, name in zip(urls, [*PHASES, "other0", "other1", "other2"], strict=True):
        os.rename(url, folder / f"{name}.tar")
    with tarfile.open(folder / "other0.tar", "a") as archive:  # one sample that is rejected
        archive.addfile(tarfile.TarInfo("empty.jpg"))
    return f"{folder}/*.tar"


@pytest.fixture(scope="module")
def calm(shards: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    out = tmp_path_factory.mktemp("calm") / "run"
    with one_thread():
        extract(plan(shards, out))
    return out


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("phases", "times"),
    [
        (("images",), 1),
        pytest.param(PHASES, 3, marks=pytest.mark.slow),
    ],
)
def test_workers_killed_in_every_phase(
    ray: object,
    shards: str,
    calm: Path,
    tmp_path: Path,
    phases: tuple[str, ...],
    times: int,
) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    dying = partial(Dying, folder=str(deaths), times=times, phases=phases)
    extract(plan(shards, tmp_path / "run", in_process=False, resources=Resources(2)), dying)
    where = [path.name.split("-")[0] for path in deaths.iterdir()]
    assert sorted(where) == sorted(phases * times), "each phase killed as often as it should"
    agree(calm, tmp_path / "run")


@pytest.mark.cluster
@pytest.mark.slow
def test_a_shard_that_kills_every_worker_fails_alone(
    ray: object, shards: str, tmp_path: Path
) -> None:
    some, out = shards.replace("*", "{decode,other0,other1,other2}"), tmp_path / "run"
    deadly = partial(Dying, folder=str(tmp_path), times=100)
    with pytest.raises(Incomplete, match=r"1 of 4 shards failed, first .*/decode\.tar .*died"):
        extract(plan(some, out, in_process=False, resources=Resources(2)), deadly)
    assert Run(str(out)).images(["key"]).num_rows == 60
    assert len(list(tmp_path.glob("decode-*"))) <= DEATHS + 3
    assert len(list(out.glob("failed/decode-*"))) == 1
    extract(plan(some, out))
    extract(plan(some, tmp_path / "calm"))
    agree(tmp_path / "calm", out)


@pytest.mark.slow
@pytest.mark.cluster
def test_the_driver_killed_and_resumed_with_other_workers(
    one_thread: None, shards: str, calm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a local Ray of its own, which nobody else can reach and dies with it; then without Ray."""
    out = tmp_path / "run"
    first = start(shards, out, "--workers", "1")
    until(lambda: list(out.glob("shards/*.json")), first)
    ports = listening(first.pid)
    assert len(ports) > 3 and set(ports) <= LOOPBACK
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert len(list(out.glob("shards/*.json"))) < 8
    extract(plan(shards, out))
    said = capsys.readouterr().out
    assert f"taking over the lock of process {first.pid} on" in said and "already done" in said
    agree(calm, out)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_node_lost_while_it_works(shards: str, calm: Path, tmp_path: Path) -> None:
    """Of two nodes with a worker each, one goes and none comes; the other does the rest."""
    out = tmp_path / "run"
    with cluster(ONE, ONE) as nodes:
        driver = start(shards, out, "--workers", "2", env=nodes.environment)
        until(lambda: len(nodes.workers()) == 2 and list(out.glob("shards/*.json")), driver)
        nodes.lose(0)
        code, said = ended(driver)
    assert code == 0 and "160 images written" in said
    agree(calm, out)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_driver_whose_head_is_gone_ends_with_a_sentence(shards: str, tmp_path: Path) -> None:
    """Ray would end it with 1, which means that a threshold was crossed."""
    out = tmp_path / "run"
    with cluster(ONE) as nodes:
        short = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20"}
        driver = start(shards, out, env=nodes.environment | short)
        until(lambda: list(out.glob("shards/*.json")), driver)
        os.kill(nodes.workers()[0], signal.SIGSTOP)
        end(nodes.head)
        code, said = ended(driver)
    assert code == 3 and "has not answered for 15 s; what is committed stays" in said


def test_a_second_run_exits_with_4_and_a_stop_is_a_clean_end(
    one_thread: None, shards: str, calm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    first = start(shards, out, "--in-process")
    until(lambda: (out / "lock.json").exists() and (out / "lock.json").read_text(), first)
    first.send_signal(signal.SIGSTOP)  # silent, but alive
    with pytest.raises(Locked, match=f"is being written by process {first.pid} on") as refused:
        extract(plan(shards, out))
    assert refused.value.exit_code == 4
    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGCONT)
    code, said = ended(first)
    assert code == 3 and "stopped; what is committed stays" in said
    assert not (out / "lock.json").exists()
    extract(plan(shards, out))
    agree(calm, out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MiB; skipped without the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> None:
    """Leave not a byte."""
    with pytest.raises(OSError, match="No space left"), open(disk / "filler", "ab") as file:
        while True:
            file.write(bytes(MiB))
            file.flush()


def test_a_full_disk_at_each_kind_of_write(
    small_disk: Path,
    one_thread: None,
    shards: str,
    calm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is filled just before the first write of a kind; then there is room again."""
    out, real = small_disk / "run", files._replace
    filler = small_disk / "filler"
    for kind in ("lock.json", "run.json", "images", "rejects", "moments", "shards"):

        def replace(path: str, data: bytes, kind: str = kind) -> None:
            if f"/run/{kind}" in path and not filler.exists():
                fill(small_disk)
            real(path, data)

        monkeypatch.setattr(files, "_replace", replace)
        if kind == "lock.json":
            fill(small_disk)
        with pytest.raises(Unwritable, match=r"(?s)run.*(full|No space left)"):
            extract(plan(shards, out))
        assert not list(out.rglob("*.partial-*")) and not (out / "lock.json").exists()
        filler.unlink()
    monkeypatch.setattr(files, "_replace", real)
    extract(plan(shards, out))
    agree(calm, out)


def test_a_folder_that_cannot_be_written_is_refused(small_disk: Path, shards: str) -> None:
    extract(plan(shards.replace("*", "other1"), small_disk / "run"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, said = ended(start(shards, small_disk / "run", "--in-process"))
    assert code == 2 and "cannot be written: Read-only file system" in said
    assert Run(str(small_disk / "run")).images(["key"]).num_rows == 20, "still readable"


def test_a_shard_that_is_missing_is_said_before_anything_is_done(
    shards: str, tmp_path: Path
) -> None:
    asked = shards.replace("*", "{other1,other2,other3,other4}")
    with pytest.raises(UsageError, match=r"2 of 4 shards do not exist, first .*other3\.tar"):
        extract(plan(asked, tmp_path / "run"))
    assert not (tmp_path / "run").exists()

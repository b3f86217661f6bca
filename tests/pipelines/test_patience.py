"""Stores that are away, cut and slow: waited for, resumed, and asked no more than they bear."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import aiohttp
import fsspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from pipelines.errors import Incomplete, UsageError
from pipelines.io import patience, reading, turns
from pipelines.io.files import atomic_write
from pipelines.io.listing import expand
from pipelines.io.patience import passing, patiently, waiting
from pipelines.io.reading import opened
from pipelines.io.store import Run
from pipelines.io.urls import fingerprint
from tests import s3_server
from tests.s3_server import Server

s3_process, s3 = s3_server.s3_process, s3_server.s3
DATA = os.urandom(3_000_000)
AWAY = 100
"""Requests without an answer; each of seven that ask bears nine before patience is asked."""


def wrapped(error: Exception, by: Exception) -> Exception:
    by.__cause__ = error
    return by


def answer(status: int) -> ClientError:
    told = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "GetObject")  # type: ignore[arg-type]


def web(status: int) -> aiohttp.ClientResponseError:
    return aiohttp.ClientResponseError(mock.Mock(), (), status=status)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.EHOSTUNREACH, "no route"),
        EndpointConnectionError(endpoint_url="http://s3"),
        aiohttp.ClientPayloadError(),
        wrapped(answer(503), OSError(errno.EBUSY, "slow down")),
        wrapped(answer(502), OSError(errno.EIO, "bad gateway")),
        wrapped(web(503), FileNotFoundError("http://host/a.tar")),
        wrapped(socket.gaierror(socket.EAI_AGAIN, "try again"), ConnectionError()),
    ],
)
def test_what_may_pass_is_waited_for(error: Exception) -> None:
    assert passing(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(),
        PermissionError(),
        FileExistsError(),
        ValueError(),
        OSError(errno.ENOSPC, "full"),
        NoCredentialsError(),
        wrapped(answer(404), FileNotFoundError()),
        wrapped(answer(412), OSError(errno.EINVAL, "changed")),
        wrapped(answer(501), OSError(errno.ENOSYS, "no conditional writes")),
        wrapped(web(404), FileNotFoundError()),
        wrapped(socket.gaierror(socket.EAI_NONAME, "unknown"), ConnectionError()),
    ],
)
def test_what_lasts_is_said_at_once(error: Exception) -> None:
    assert not passing(error)
    with mock.patch.dict(os.environ, NHD_PATIENCE="60"), pytest.raises(type(error)):
        patiently(mock.Mock(side_effect=[error, None]), "s3://b/a")


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setenv("NHD_PATIENCE", "600")
    do = mock.Mock(side_effect=ConnectionResetError)
    with pytest.raises(ConnectionResetError):
        patiently(do, "s3://b/a")
    assert do.call_count > 2 and clock.now == pytest.approx(600)
    do.reset_mock()
    with waiting(0), pytest.raises(ConnectionResetError):
        patiently(do, "s3://b/a")
    assert do.call_count == 1
    monkeypatch.setenv("NHD_PATIENCE", "long")
    with pytest.raises(UsageError, match="NHD_PATIENCE=long should be a number"):
        patiently(do, "s3://b/a")


def read(url: str) -> bytes:
    with opened(url) as file:
        return b"".join(iter(lambda: file.read(10_240), b""))


def test_a_store_that_is_away_is_waited_for(s3: Server, caplog: pytest.LogCaptureFixture) -> None:
    """By whatever the driver and the workers ask of it."""
    patience.said[0] = float("-inf")
    bucket = s3.bucket()
    url, run = f"{bucket}/a.tar", Run(f"{bucket}/run")
    atomic_write(url, DATA)
    atomic_write(run.at("run.json"), b"{}")
    asked: list[Callable[[], object]] = [
        lambda: read(url) == DATA,
        lambda: fingerprint(url)["size"] == len(DATA),
        lambda: expand(f"{bucket}/*.tar") == [url],
        lambda: atomic_write(run.at("shards", "b.json"), b"{}") is None,
        lambda: run.exists("a.json") is False,
        lambda: run.delete("c.json") is None,
        lambda: run.read("run.json") == b"{}",
    ]
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1", NHD_PATIENCE="120"):
        s3.set_rate(0.0, away=AWAY)
        with ThreadPoolExecutor(len(asked)) as pool:
            assert all(pool.map(lambda do: do(), asked))
        assert s3.faults() == {"away": AWAY}
        assert run.names("shards") == ["b.json"]
    assert "cannot be reached now" in caplog.text and "is reached again after" in caplog.text
    s3.set_rate(0.0, away=1_000_000)
    with (
        s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1"),
        pytest.raises(Incomplete, match="cannot be reached"),
    ):
        run.names("shards")


def test_a_cut_costs_little_more_than_what_was_lost(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3.bucket()}/a.tar"
    atomic_write(url, DATA)
    monkeypatch.setattr(reading, "BLOCK", 200_000)
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1", NHD_PATIENCE="30"):
        for seed in range(3):
            s3.set_rate(0.3, seed, ["cut"])
            assert read(url) == DATA
            assert s3.faults()["cut"] > 2
            assert s3.seen().bytes < 1.01 * len(DATA)
            assert s3.requests()["GET"] < 3 * len(DATA) / 200_000


def test_a_line_that_lets_little_pass_at_a_time_is_enough(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range that never comes whole is asked for in smaller pieces."""
    url = f"{s3.bucket()}/a.tar"
    atomic_write(url, DATA[:800_000])
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1", NHD_PATIENCE="30"):
        s3.set_rate(0.0, most=100_000)
        assert read(url) == DATA[:800_000]
        assert s3.seen().bytes < 2 * 800_000


def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3.bucket()}/a.tar"
    atomic_write(url, DATA)
    monkeypatch.setattr(reading, "BLOCK", 100_000)
    with opened(url) as file:
        assert file.read(10) == DATA[:10]
        atomic_write(url, DATA[::-1])
        with pytest.raises(OSError):
            file.read()


@pytest.mark.parametrize("start", [0, 7, 199_999, 200_000, 2_999_999, 3_000_000])
@pytest.mark.parametrize("place", ["memory://reading/a", "file"])
def test_reading_may_start_anywhere(place: str, start: int, tmp_path: Path) -> None:
    url = str(tmp_path / "a") if place == "file" else place
    atomic_write(url, DATA)
    with opened(url, start) as file:
        assert file.read() == DATA[start:]


def test_a_server_that_knows_no_ranges_is_read_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar").write_bytes(DATA)
    monkeypatch.setattr(reading, "BLOCK", 1_000_000)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *said: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for start in (0, 1_500_000):
            with opened(f"http://127.0.0.1:{server.server_port}/a.tar", start) as file:
                assert file.read() == DATA[start:]
        server.shutdown()


def test_a_store_that_never_answers_keeps_no_process_alive() -> None:
    asked, never = threading.Event(), threading.Event()

    def fetch(start: int, end: int) -> bytes:
        asked.set()
        never.wait(60)
        return bytes(end - start)

    ranges = reading._Ranges(fetch, "s3://b/a.tar", 0, 100, 1)
    reader = threading.Thread(target=ranges.read, daemon=True)
    reader.start()
    assert asked.wait(60)
    ranges.close()
    # Python joins threads at its end, unless they are daemons; those of executors it always joins.
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "range")
    assert any(thread.name == "range" for thread in threading.enumerate())
    assert reader.is_alive()
    never.set()
    reader.join(60)


def test_readers_share_the_turns_of_a_machine(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{s3.bucket()}/a.tar"
    atomic_write(url, DATA)
    monkeypatch.setattr(reading, "BLOCK", 300_000)

    def at_once() -> int:
        s3.set_rate(0.0)
        with ThreadPoolExecutor(4) as pool:
            assert all(data == DATA for data in pool.map(read, [url] * 4))
        return s3.seen().at_once

    monkeypatch.setenv(turns.VARIABLE, "2")
    assert at_once() <= 2
    monkeypatch.setenv(turns.VARIABLE, "0")
    assert at_once() > 2
    monkeypatch.setenv(turns.VARIABLE, "few")
    with pytest.raises(UsageError, match="NHD_READS_PER_NODE=few"):
        turns.limit()


def test_a_process_that_dies_gives_its_turn_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(turns.VARIABLE, "1")
    code = (
        "import sys; from pipelines.io.turns import turn\n"
        "with turn(): print('taken', flush=True), sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline() == b"taken\n"
    with child, ThreadPoolExecutor(1) as pool:

        def take() -> float:
            with turns.turn():
                return time.monotonic()

        taken = pool.submit(take)
        time.sleep(0.2)
        assert not taken.done()
        killed = time.monotonic()
        child.kill()
        assert killed <= taken.result(60)


def test_requester_pays_and_the_endpoint_are_fsspecs_own_options(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3.bucket()}/a.tar"
    atomic_write(url, DATA)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name)
    conf: dict[str, dict[str, object]] = {}
    told = {"FSSPEC_S3": '{"requester_pays": true}', "FSSPEC_S3_ENDPOINT_URL": s3.endpoint}
    fsspec.config.set_conf_env(conf, told)
    with mock.patch.dict(fsspec.config.conf, conf):
        s3.set_rate(0.0)
        assert read(url) == DATA
        fingerprint(url), expand(url.replace("a.tar", "*.tar"))
        assert s3.seen().paid_for == sum(s3.requests().values()) >= 3

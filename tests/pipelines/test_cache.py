"""Weights at URLs: fetched once a machine, kept whole, and never taken for others."""

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO
from unittest import mock

import pytest
import torch

from pipelines.errors import Incomplete, UsageError
from pipelines.io import cache, reading
from pipelines.io.cache import local_copy
from pipelines.io.files import PARTIAL, atomic_write
from pipelines.io.store import Run
from pipelines.models import load_model
from pipelines.tiny.model import weights_path
from tests import s3_server
from tests.s3_server import Server

s3_process, s3 = s3_server.s3_process, s3_server.s3
DATA = os.urandom(800_000)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(reading, "BLOCK", 200_000)
    return tmp_path / "cache"


@pytest.fixture
def url(s3: Server) -> str:
    """Weights in a bucket."""
    url = f"{s3.bucket()}/models/weights.pt"
    atomic_write(url, DATA)
    s3.set_rate(0.0)
    return url


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def test_who_come_together_fetch_once(s3: Server, url: str) -> None:
    """The kernel's lock belongs to an open file, so it holds threads apart as it does processes."""
    with ThreadPoolExecutor(3) as pool:
        (path,) = set(pool.map(local_copy, [url] * 3))
    assert read(path) == DATA and path.endswith("/weights.pt")
    assert s3.seen().bytes < 1.01 * len(DATA)


def test_a_fetch_that_stopped_goes_on_where_it_was(
    s3: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1"):
        monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
        stops = 0
        for seed in range(80):
            s3.set_rate(0.3, seed, ["500"])  # a dropped connection aiohttp may mend by itself
            try:
                path = local_copy(url)
                break
            except Incomplete as error:
                assert re.match(f"{url} cannot be fetched: ", str(error))
                stops += 1
    assert stops and read(path) == DATA


def test_only_the_rest_is_fetched(s3: Server, url: str) -> None:
    path = Path(local_copy(url))
    (path.parent / "record.json").unlink()
    os.truncate(path, 600_000)
    path.rename(f"{path}{PARTIAL}")  # as a process leaves it that is killed
    s3.set_rate(0.0)
    assert read(local_copy(url)) == DATA
    assert s3.seen().bytes < 210_000


def test_the_copy_is_that_of_the_version_in_the_store(url: str) -> None:
    before = local_copy(url)
    atomic_write(url, DATA[::-1])
    after = local_copy(url)
    assert read(before) == DATA and read(after) == DATA[::-1]
    record = json.loads((Path(after).parent / "record.json").read_text())
    assert record["sha256"] == hashlib.sha256(DATA[::-1]).hexdigest()
    assert (record["url"], record["size"]) == (url, len(DATA))


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_copy_is_fetched_again(url: str, damage: str) -> None:
    path = Path(local_copy(url))
    if damage == "flip":
        path.write_bytes(b"x" + DATA[1:])
    elif damage == "cut":
        path.write_bytes(DATA[:-1])
    else:
        path.unlink()
    assert read(local_copy(url)) == DATA


def test_what_was_used_longest_ago_makes_room(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, "0.002")  # 2 MB
    bucket = s3.bucket()
    for i in range(4):
        atomic_write(f"{bucket}/{i}.pt", DATA)
    old = [Path(local_copy(f"{bucket}/{i}.pt")) for i in (0, 1)]
    for hours, path in zip((3, 2), old, strict=True):
        then = time.time() - hours * 3600
        for file in path.parent.iterdir():
            os.utime(file, (then, then))
    local_copy(f"{bucket}/0.pt")  # so it is 1.pt that was used longest ago
    local_copy(f"{bucket}/2.pt")
    local_copy(f"{bucket}/3.pt")  # nothing else may go: all are in use
    assert old[0].exists() and not old[1].exists()


def test_what_cannot_be_fetched_is_said(s3: Server, url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.pt cannot be fetched: there is no file"):
        local_copy(url.replace("weights", "gone"))
    s3.set_rate(1.0, faults=["500"])
    with s3_server.as_default(s3, AWS_MAX_ATTEMPTS="1"), pytest.raises(Incomplete, match="cannot"):
        local_copy(url)  # another time it may be had: exit code 3
    with pytest.raises(UsageError, match="cannot be fetched"):
        local_copy("nowhere://a/b.pt")
    assert local_copy(str(tmp_path / "gone.pt")) == str(tmp_path / "gone.pt")


def test_what_is_replaced_while_it_is_fetched_is_not_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://cache/replaced.pt"
    atomic_write(url, DATA)

    @contextlib.contextmanager
    def replaced(url: str, start: int) -> Iterator[IO[bytes]]:
        with opened(url, start) as file:
            atomic_write(url, DATA[::-1])
            yield file

    opened = cache.opened
    monkeypatch.setattr(cache, "opened", replaced)
    with pytest.raises(UsageError, match="replaced meanwhile"):
        local_copy(url)
    assert not list(here.glob("*/replaced.pt*"))


def test_a_full_disk_is_left_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_write("memory://cache/large.pt", DATA)
    monkeypatch.setattr("os.fsync", mock.Mock(side_effect=OSError(errno.ENOSPC, "no space")))
    with pytest.raises(UsageError, match=r"the cache .* is full"):
        local_copy("memory://cache/large.pt")
    assert not list(here.glob("*/large.pt*"))


@pytest.mark.parametrize("made", ["link", "open"])
def test_a_folder_that_somebody_else_may_write_is_no_cache(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make a folder of that name in /tmp before we do, with weights in it."""
    monkeypatch.delenv(cache.FOLDER)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    there = tmp_path / f"nhd-cache-{os.getuid()}"
    assert cache.folder() == there and there.stat().st_mode & 0o777 == 0o700
    if made == "link":
        there.rename(tmp_path / "elsewhere")
        there.symlink_to(tmp_path / "elsewhere")
    else:
        there.chmod(0o777)
    with pytest.raises(UsageError, match="not a folder of this user alone"):
        cache.folder()


def test_a_model_at_a_url_is_the_model(s3: Server, here: Path) -> None:
    url = f"{s3.bucket()}/tiny.safetensors"
    atomic_write(url, Path(weights_path()).read_bytes())
    there, local = load_model("tiny", None, url), load_model("tiny")
    assert there.weights_sha256 == local.weights_sha256
    assert there.spec.checkpoint == url
    assert len(list(here.glob("*/tiny.safetensors"))) == 1
    broken = f"{Run(url).url}.broken"
    atomic_write(broken, b"no weights")
    with pytest.raises(UsageError, match="does not fit the tiny model"):
        load_model("tiny", None, broken)


@pytest.mark.slow
def test_a_checkpoint_of_open_clip_may_be_at_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = load_model("RN50", "none")
    torch.save(local.model.state_dict(), tmp_path / "rn50.pt")
    atomic_write("memory://models/rn50.pt", (tmp_path / "rn50.pt").read_bytes())
    there = load_model("RN50", None, "memory://models/rn50.pt")
    assert there.weights_sha256 == local.weights_sha256

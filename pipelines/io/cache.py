"""Files that a machine fetches once: a cache that all its processes share.

An entry is a folder of NHD_CACHE (by default ~/.cache/nhd), named by a hash of the file's name
and version, so a file that is replaced in its store is a new entry. `record.json` comes last and
holds the SHA-256 of the content, which is compared at every use. One process fetches, under a
lock that the kernel drops when it dies; the next goes on where it stopped.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec

from pipelines.errors import Incomplete, JobError, UsageError
from pipelines.io.files import PARTIAL, is_local, private_folder, reason, write_json
from pipelines.io.patience import passing
from pipelines.io.reading import opened
from pipelines.io.redaction import refuse_credentials, without_secrets
from pipelines.io.urls import Fingerprint, fingerprint

FOLDER, LIMIT = "NHD_CACHE", "NHD_CACHE_GB"
GIGABYTES = 50.0  # that entries may take together
IN_USE = 3600.0  # seconds since its last use in which an entry is never removed
RECORD = "record.json"


@dataclass(frozen=True)
class _Entry:
    folder: Path
    name: str

    @property
    def file(self) -> Path:
        return self.folder / self.name

    def whole(self) -> bool:
        """Is the file there, with the content that was fetched?"""
        try:
            os.utime(self.folder / RECORD)  # it is used now
            record = json.loads((self.folder / RECORD).read_text())
            same: bool = record["sha256"] == _sha256(self.file)
        except (FileNotFoundError, ValueError):
            return False
        return same


def local_copy(url: str) -> str:
    """The path of a local copy of the file at `url`, fetched unless it is there; local files as
    they are.

    Raises UsageError where the file cannot be had or kept, Incomplete where its store is away.
    """
    place = without_secrets(refuse_credentials(url))
    try:
        fs, path = fsspec.core.url_to_fs(url)
        if is_local(fs):
            return str(path)
        found = fingerprint(url)
        entry = _entry(place, found)
        with _locked(entry.folder.with_suffix(".lock")):
            # Without a version nobody knows whether what is there is still the same.
            if not (found["version"] and entry.whole()):
                _make_room(entry, found["size"])
                _fetch(url, entry, found)
    except (JobError, MemoryError):
        raise
    except Exception as error:  # stores' own errors are no OSError
        kind = Incomplete if passing(error) else UsageError
        raise kind(f"{place} cannot be fetched: {reason(error)}") from error
    return str(entry.file)


@contextlib.contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Let one process of this machine do this; the others wait."""
    name = hashlib.sha256(what.encode()).hexdigest()[:16]
    with _locked(folder() / f"{name}.lock"):
        yield


def folder() -> Path:
    """Where the cache is; made if it is not there. UsageError where nobody can write."""
    told = os.environ.get(FOLDER)
    path = Path(told or "~/.cache/nhd").expanduser()
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    if told:
        raise UsageError(f"the cache {told} cannot be written; set {FOLDER} to another folder")
    return Path(private_folder("nhd-cache"))


def _entry(place: str, found: Fingerprint) -> _Entry:
    told = json.dumps([place, found["size"], found["version"]])
    name = unquote(place.partition("?")[0].rstrip("/").rpartition("/")[2]).replace("/", "_")
    path = folder() / hashlib.sha256(told.encode()).hexdigest()[:32]
    path.mkdir(exist_ok=True)
    return _Entry(path, name or "file")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _fetch(url: str, entry: _Entry, found: Fingerprint) -> None:
    """Fetch the rest of the file, or all of it where nobody knows whether it is the same one."""
    partial = entry.folder / f"{entry.name}{PARTIAL}"
    size = found["size"]
    there = partial.stat().st_size if found["version"] and partial.exists() else 0
    try:
        _download(url, partial, there if there <= size else 0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        partial.unlink(missing_ok=True)
        full = f"the cache {entry.folder.parent} is full"
        raise UsageError(f"{full}; make room, or set {FOLDER} to another folder") from error
    came = partial.stat().st_size
    if (size >= 0 and came != size) or fingerprint(url) != found:
        partial.unlink()
        raise OSError(f"it was replaced meanwhile, or {came} bytes are not all of it; try again")
    record: dict[str, Any] = {"url": without_secrets(url), "sha256": _sha256(partial), **found}
    os.replace(partial, entry.file)
    write_json(str(entry.folder / RECORD), record)


def _download(url: str, target: Path, start: int) -> None:
    """Write what is at `url`, from the byte `start` on, into `target`."""
    with open(target, "r+b" if start else "wb") as file, opened(url, start) as source:
        file.seek(start)
        while data := source.read(1 << 20):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_room(entry: _Entry, size: int) -> None:
    """Remove the entries that were used longest ago, until `size` more bytes are within the
    limit."""
    told = os.environ.get(LIMIT) or str(GIGABYTES)
    try:
        most = float(told) * 1e9
    except ValueError:
        raise UsageError(f"{LIMIT}={told} should be a number of gigabytes") from None
    used = {}
    for other in entry.folder.parent.iterdir():
        if other.is_dir() and other != entry.folder:
            with contextlib.suppress(FileNotFoundError):  # another process makes room too
                used[other] = _use(other)
    total = sum(count for _, count in used.values()) + max(size, 0)
    for other, (last, count) in sorted(used.items(), key=lambda item: item[1]):
        if total > most and time.time() - last > IN_USE:
            shutil.rmtree(other, ignore_errors=True)
            total -= count


def _use(path: Path) -> tuple[float, int]:
    """When an entry was used last, or written to, and its bytes."""
    found = [file.stat() for file in path.iterdir()]
    last = max((one.st_mtime for one in found), default=path.stat().st_mtime)
    return last, sum(one.st_size for one in found)

"""What is at a URL: files' fingerprints.

A fingerprint is {"size": bytes, "version": text}. The version changes when the file is written
again: the ETag or checksum of an object store or web server, elsewhere the time of writing (in
nanoseconds for local files), and "" where the store tells neither. A size of -1 is unknown.
"""

import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import fsspec

from pipelines.io.patience import patiently
from pipelines.io.redaction import redact, without_secrets

Fingerprint = dict[str, Any]

LISTED = 8  # wanted files in one folder from which one listing replaces a request for each
LISTABLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}  # lists the same versions
THREADS = 16  # requests at a time where each file needs its own

# A checksum comes before the time, and GCS's generation before its etag, which changes with
# an object's metadata too.
VERSIONS = (
    "ETag", "md5Hash", "generation", "etag", "checksum", "Content-MD5", "Digest",
    "mtime", "Last-Modified", "LastModified", "last_modified", "updated", "modified", "created",
)  # fmt: skip


def fingerprint(url: str) -> Fingerprint:
    """The fingerprint of one file.

    Raises FileNotFoundError where there is no file, OSError where the store cannot tell.
    """
    found = fingerprints([url])[url]
    if found is None:
        raise FileNotFoundError(f"there is no file {without_secrets(url)}")
    return found


def fingerprints(urls: Iterable[str]) -> dict[str, Fingerprint | None]:
    """The fingerprints of many files, None where there is none, with as few requests as possible.

    Raises OSError where a store cannot tell. Memory grows with `urls` and with the largest folder
    that holds LISTED or more of them, not with the number of folders.
    """
    found: dict[str, Fingerprint | None] = dict.fromkeys(urls)
    folders: dict[tuple[Any, str], dict[str, str]] = {}  # (file system, folder) → URL → path
    for url in found:
        if "://" not in url and "::" not in url:
            found[url] = _local(url)
        else:
            fs, path = _resolve(url)
            folders.setdefault((fs, _folder(fs, path)), {})[url] = path
    alone: list[tuple[str, Any, str]] = []
    for (fs, folder), paths in folders.items():
        listed = _listed(fs, folder, paths) if folder and len(paths) >= LISTED else None
        if listed is None:
            alone += [(url, fs, path) for url, path in paths.items()]
        else:
            found |= listed
    return found | _each(alone)


def is_folder(url: str) -> bool:
    """Is there a folder? Raises OSError where the store cannot tell."""
    fs, path = _resolve(url)
    try:
        fs.invalidate_cache(path)
        return patiently(lambda: bool(fs.isdir(path)), url)
    except Exception as error:  # botocore's and aiohttp's errors are no OSError
        raise _unclear(url, error) from error


def _local(path: str) -> Fingerprint | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(status.st_mode):
        return None
    return {"size": status.st_size, "version": str(status.st_mtime_ns)}


def _resolve(url: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # of a missing package, an unknown protocol, a bad option
        raise _unclear(url, error) from error
    return fs, path


def _folder(fs: Any, path: str) -> str:
    """The folder to list for `path`, or "" where a listing might not tell what a request does."""
    return path.rpartition("/")[0] if LISTABLE & _protocols(fs) and "?" not in path else ""


def _listed(fs: Any, folder: str, paths: dict[str, str]) -> dict[str, Fingerprint | None] | None:
    """The fingerprints from one listing; None where the folder cannot be listed."""
    wanted = set(paths.values())
    fs.invalidate_cache(folder)
    try:
        entries = patiently(lambda: fs.ls(folder, detail=True), fs.unstrip_protocol(folder))
    except FileNotFoundError:
        entries = []
    except Exception:  # some stores allow reading but not listing
        return None
    finally:
        fs.invalidate_cache(folder)
    there = {entry["name"]: _of(entry) for entry in entries if entry["name"] in wanted}
    return {url: there.get(path) for url, path in paths.items()}


def _each(alone: list[tuple[str, Any, str]]) -> dict[str, Fingerprint | None]:
    # Only fsspec's asynchronous file systems promise to bear several threads.
    if len(alone) < 2 or not all(fs.async_impl for _, fs, _ in alone):
        return {url: _look(url, fs, path) for url, fs, path in alone}
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda one: _look(*one), alone)
        return {url: one for (url, _, _), one in zip(alone, found, strict=True)}


def _look(url: str, fs: Any, path: str) -> Fingerprint | None:
    if "file" in _protocols(fs):
        return _local(path)
    try:
        fs.invalidate_cache(path)
        return _of(patiently(lambda: fs.info(path), url))
    except FileNotFoundError as error:
        # fsspec says "not found" for whatever goes wrong over HTTP.
        if is_http(fs) and getattr(error.__cause__, "status", None) not in (404, 410):
            raise _unclear(url, error.__cause__ or error) from error
        return None
    except Exception as error:  # botocore's and aiohttp's errors are no OSError
        raise _unclear(url, error) from error


def _of(info: dict[str, Any]) -> Fingerprint | None:
    if info.get("type") == "directory":
        return None
    version = next((info[name] for name in VERSIONS if info.get(name) is not None), "")
    if isinstance(version, datetime):  # listings have other time zones than requests
        version = version.timestamp()
    size = info.get("size")
    return {"size": -1 if size is None else int(size), "version": str(version).strip('"')}


def _unclear(url: str, error: BaseException) -> OSError:
    why = redact(str(error)) or type(error).__name__
    return OSError(f"{without_secrets(url)} cannot be looked up: {why}")


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def is_http(fs: Any) -> bool:
    """Is it a web server, be it behind a cache?"""
    return "http" in _protocols(getattr(fs, "fs", fs))

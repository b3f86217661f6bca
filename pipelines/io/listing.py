"""Which shards a pattern means: braces, globs, commas and lists, on any fsspec URL."""

import glob
import os
import re

import fsspec
from braceexpand import braceexpand

from pipelines.errors import UsageError


def expand(pattern: str) -> list[str]:
    """The shard URLs of a pattern, in order, each once.

    Braces and globs work on any fsspec URL; commas separate patterns; `@file` holds one per line.
    Raises UsageError with the offending part where nothing matches.
    """
    urls: list[str] = []
    for part in _parts(pattern):
        found = _expand_one(part)
        if not found:
            raise UsageError(f"no shard matches '{part}'; check the path, braces and quotes")
        urls += found
    return list(dict.fromkeys(urls))


def _parts(pattern: str) -> list[str]:
    if pattern.startswith("@"):
        try:
            with fsspec.open(pattern[1:], "rt") as file:
                lines = [line.strip() for line in file]
        except OSError as error:
            raise UsageError(f"the list of shards {pattern[1:]} cannot be read: {error}") from error
        return [line for line in lines if line and not line.startswith("#")]
    parts = re.split(r",(?![^{]*\})", pattern)
    parts = [part.strip() for part in parts if part.strip()]
    if not parts:
        raise UsageError("the data pattern is empty; give a path such as 'shards/{000..009}.tar'")
    return parts


def _expand_one(part: str) -> list[str]:
    try:
        names = list(braceexpand(part))
    except ValueError as error:
        raise UsageError(f"'{part}' has unbalanced braces") from error
    found: list[str] = []
    for name in names:
        url = _absolute(name)
        try:
            found += _glob(url) if glob.has_magic(name) else _existing(url)
        except (OSError, ValueError, ImportError) as error:
            raise UsageError(f"'{name}' cannot be listed: {error}") from error
    return found


def _absolute(name: str) -> str:
    if "://" in name or "::" in name:
        return name
    return os.path.abspath(os.path.expanduser(name))


def _glob(url: str) -> list[str]:
    fs, path = fsspec.core.url_to_fs(url)
    scheme = url.partition("://")[0] + "://" if "://" in url else ""
    return [scheme + name if scheme else name for name in sorted(fs.glob(path))]


def _existing(url: str) -> list[str]:
    fs, path = fsspec.core.url_to_fs(url)
    if not fs.exists(path):
        raise UsageError(f"shard {url} does not exist")
    if fs.isdir(path):
        raise UsageError(f"{url} is a folder; to read every shard in it, write '{url}/*.tar'")
    return [url]

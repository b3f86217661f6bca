"""Which shards a pattern means: braces, globs, commas and lists, on any fsspec URL."""

import glob
import os
import re

import fsspec
from braceexpand import braceexpand

from pipelines.errors import Incomplete, UsageError
from pipelines.io.patience import passing, patiently
from pipelines.io.reading import read_bytes
from pipelines.io.redaction import refuse_credentials
from pipelines.io.urls import fingerprints, is_folder, redact, without_secrets

# The question mark of https://host/a.tar?X-Amz-Date=... begins parameters, it matches nothing.
QUERY = re.compile(r"\?[\w.~%-]+=.*")


def expand(pattern: str, must_exist: bool = True) -> list[str]:
    """The shard URLs of a pattern, in order, each once.

    Braces and globs work on any fsspec URL; commas separate patterns; `@file` holds one per line.
    With `must_exist` false, names without a glob are in the list whether or not they are there.
    Raises UsageError with the offending part where nothing matches, where a named shard is
    missing or a folder, and where two URLs differ in nothing but credentials; Incomplete where the
    store is away.
    """
    globbed: dict[str, bool] = {}
    for part in _parts(pattern):
        found = _expand_one(part)
        if not found:
            raise UsageError(
                f"no shard matches '{redact(part)}'; check the path, braces and quotes"
            )
        for url, matched in found.items():
            globbed[url] = matched or globbed.get(url, False)
    _distinct(list(globbed))
    _check([url for url, matched in globbed.items() if not matched], must_exist)
    return list(globbed)


def _parts(pattern: str) -> list[str]:
    if pattern.startswith("@"):
        name = pattern[1:]
        try:
            lines = [line.strip() for line in read_bytes(name).decode().splitlines()]
        except Exception as error:  # stores' own errors are no OSError
            why = _why(error)
            raise UsageError(f"the list of shards {redact(name)} cannot be read: {why}") from error
        lines = [line for line in lines if line and not line.startswith("#")]
        if not lines:
            raise UsageError(f"the list of shards {redact(name)} is empty")
        return lines
    parts = re.split(r",(?![^{]*\})", pattern)
    parts = [part.strip() for part in parts if part.strip()]
    if not parts:
        raise UsageError("the data pattern is empty; give a path such as 'shards/{000..009}.tar'")
    return parts


def _expand_one(part: str) -> dict[str, bool]:
    """URL → did a glob find it?"""
    try:
        names = list(braceexpand(part))
    except ValueError as error:
        raise UsageError(f"'{redact(part)}' has unbalanced braces") from error
    found: dict[str, bool] = {}
    for name in names:
        url = refuse_credentials(absolute(name))
        matched = glob.has_magic(QUERY.sub("", url) if "://" in url else url)
        found |= dict.fromkeys(_glob(url) if matched else [url], matched)
    return found


def absolute(name: str) -> str:
    """One name for one local file, however it is written."""
    name = re.sub("^(file|local)://(?=/)", "", name)
    if "://" in name or "::" in name:
        return name
    return os.path.abspath(os.path.expanduser(name))


def _glob(url: str) -> list[str]:
    try:
        fs, path = fsspec.core.url_to_fs(url)
        fs.invalidate_cache()
        names = patiently(lambda: sorted(fs.glob(path)), url)
        fs.invalidate_cache()  # else later reads in this process believe this listing
    except Exception as error:  # stores' own errors are no OSError
        kind = Incomplete if passing(error) else UsageError
        raise kind(f"'{redact(url)}' cannot be listed: {_why(error)}") from error
    scheme = url.partition("://")[0] + "://" if "://" in url else ""
    return [name if "://" in name else scheme + name for name in names]


def _distinct(urls: list[str]) -> None:
    """Rows carry the shard's name without credentials, so that must tell shards apart."""
    names: dict[str, str] = {}
    for url in urls:
        if names.setdefault(name := without_secrets(url), url) != url:
            raise UsageError(
                f"shard {name} is given twice, with parameters that differ only in what looks "
                "like credentials; give each shard once"
            )


def _check(named: list[str], must_exist: bool) -> None:
    try:
        missing = [url for url, found in fingerprints(named).items() if found is None]
        folder = bool(missing) and is_folder(missing[0])
    except OSError as error:
        kind = Incomplete if passing(error) else UsageError
        raise kind(f"the shards cannot be listed: {error}") from error
    if not missing:
        return
    first = without_secrets(missing[0])
    if folder:
        raise UsageError(f"{first} is a folder; to read every shard in it, write '{first}/*.tar'")
    if must_exist and len(named) == 1:
        raise UsageError(f"shard {first} does not exist")
    if must_exist:
        raise UsageError(
            f"{len(missing)} of {len(named)} shards do not exist, first {first}; correct the "
            "names, because one that does not exist is never passed over"
        )


def _why(error: Exception) -> str:
    return redact(str(error)) or type(error).__name__

"""Open, stream and write WebDataset shards at any fsspec URL; nothing is dropped unsaid.

A shard is read once, front to back, with bounded memory. What cannot be used comes out as a
`Reject` with a reason; a shard that ends too early raises ShardError, because nobody can say how
many samples were lost.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import fsspec

from pipelines.errors import ShardError

IMAGE_TYPES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
END_OF_ARCHIVE = bytes(1024)
MEMBER_LIMIT = 1 << 30


@dataclass(frozen=True)
class Sample:
    """One sample of a shard: its key, the encoded image, and its JSON text and fields (or none)."""

    key: str
    image: bytes
    meta: str | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class Reject:
    """A sample that cannot be used: at which stage (read, decode, label), and why."""

    key: str
    stage: str
    reason: str
    detail: str


def shard_id(url: str) -> str:
    """Base name without extension, plus eight hex digits of the URL's SHA-256."""
    name = os.path.basename(url.rstrip("/")).split(".")[0]
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return f"{safe}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def samples(url: str) -> Iterator[Sample | Reject]:
    """Stream the samples of one shard (tar or tar.gz), in order.

    Raises ShardError if the shard cannot be opened, is no tar, or ends before its end mark.
    """
    seen: set[str] = set()
    for key, members, problem in _groups(url):
        if key in seen:
            yield Reject(key, "read", "duplicate_key", "the key occurs twice in this shard")
        else:
            seen.add(key)
            yield problem or _sample(key, members)


def _sample(key: str, members: dict[str, bytes]) -> Sample | Reject:
    image = next((members[ext] for ext in IMAGE_TYPES if ext in members), None)
    if image is None:
        return Reject(key, "read", "no_image", f"members: {', '.join(sorted(members))}")
    meta = members.get("json")
    if meta is None:
        return Sample(key, image, None, {})
    try:
        text = meta.decode()
        fields = json.loads(text)
    except ValueError as error:
        return Reject(key, "read", "invalid_json", str(error)[:200])
    if not isinstance(fields, dict):
        return Reject(key, "read", "invalid_json", "the JSON is not an object")
    return Sample(key, image, text, fields)


def _groups(url: str) -> Iterator[tuple[str, dict[str, bytes], Reject | None]]:
    """Consecutive members of one key: (key, extension → bytes, a problem found on the way)."""
    key: str | None = None
    members: dict[str, bytes] = {}
    problem: Reject | None = None
    for name, data in _members(url):
        member_key, extension = _split(name)
        if member_key != key:
            if key is not None:
                yield key, members, problem
            key, members, problem = member_key, {}, None
        if extension in members:
            problem = Reject(member_key, "read", "duplicate_member", f"two members .{extension}")
        elif data is None:
            problem = Reject(member_key, "read", "member_too_large", f".{extension} over 1 GiB")
        else:
            members[extension] = data
    if key is not None:
        yield key, members, problem


def _split(name: str) -> tuple[str, str]:
    """WebDataset's rule: the key ends at the first dot of the base name."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower()


def _members(url: str) -> Iterator[tuple[str, bytes | None]]:
    """Regular files of the archive as (name, bytes); checks the end-of-archive mark."""
    try:
        with fsspec.open(url, "rb") as raw:
            stream = _Tail(_decompressed(raw))
            end = 0
            with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:  # type: ignore[call-overload]
                for member in archive:
                    end = member.offset_data + -(-member.size // 512) * 512 * member.isfile()
                    if member.isfile():
                        yield _clean(member.name), _content(archive, member)
            stream.drain()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ShardError(f"{url} cannot be read to its end: {error}") from error
    if stream.length < end + len(END_OF_ARCHIVE) or stream.tail != END_OF_ARCHIVE:
        raise ShardError(f"{url} has no end-of-archive mark: it was cut off")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
    if member.size > MEMBER_LIMIT:
        return None
    file = archive.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise tarfile.ReadError(f"member {_clean(member.name)} is cut off")
    return data


def _clean(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(2)
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if start == b"\x1f\x8b" else raw  # type: ignore[return-value]


class _Tail:
    """A reader that remembers its length and last 1,024 bytes: a tar's end mark."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw = raw
        self.tail = b""
        self.length = 0

    def read(self, size: int = -1) -> bytes:
        data = self.raw.read(size)
        self.length += len(data)
        self.tail = (self.tail + data[-1024:])[-1024:]
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass


def fetch(urls: dict[str, str], wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """The encoded images of (shard id, key) pairs, read again from the shards at `urls`.

    Shards that are gone are passed over, so a report can be made without them.
    """
    by_shard: dict[str, set[str]] = {}
    for shard, key in wanted:
        by_shard.setdefault(shard, set()).add(key)
    found: dict[tuple[str, str], bytes] = {}
    for shard, keys in by_shard.items():
        try:
            for sample in samples(urls[shard]):
                if isinstance(sample, Sample) and sample.key in keys:
                    found[shard, sample.key] = sample.image
        except (ShardError, KeyError):
            continue
    return found


def write(url: str, members: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, bytes) members as a tar, atomically; same input, same bytes."""
    from pipelines.io.store import atomic_write

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    atomic_write(url, buffer.getvalue())

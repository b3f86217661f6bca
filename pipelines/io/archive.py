"""Read a tar archive (plain or gzip) once, front to back; whatever is wrong with it is said.

Python's tarfile parses the headers. On its own it takes a damaged header, or anything after the
end mark, for the end of the archive, and it believes every size; so the bytes are counted on
their way in, and only an archive that ends where its last member does, with an end mark, is whole.
Nothing is unpacked, and no name or link is followed.
"""

import gzip
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from pipelines.errors import ShardError
from pipelines.io.files import reason
from pipelines.io.reading import opened
from pipelines.io.urls import without_secrets

END_MARK = 1024  # zero bytes
MEMBER_LIMIT = 1 << 28  # bytes; larger members are passed over
HEADER_LIMIT = 1 << 21  # bytes from the end of one member to the content of the next
MAGIC_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Member:
    """One entry that is no folder. `data` is None where it cannot be had, for `reason`."""

    name: str
    """As stored; bytes that are no UTF-8 appear as \\xff."""
    data: bytes | None
    reason: str = ""
    """`not_a_file` or `too_large`, see REASONS."""


def members(url: str) -> Iterator[Member]:
    """The entries of the archive, in order.

    Raises ShardError if it cannot be opened, is no tar, is damaged, or ends before its end mark.
    """
    place = without_secrets(url)
    try:
        with opened(url) as raw:
            yield from _members(_Counted(_decompressed(raw)))
    except MemoryError:
        raise
    # Hostile bytes make tarfile and zlib, and failing stores make botocore and aiohttp, raise
    # nearly anything.
    except Exception as error:
        raise ShardError(f"{place} cannot be read to its end: {reason(error)}") from error


def _members(stream: "_Counted") -> Iterator[Member]:
    with _opened(stream) as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined] # or all headers would be kept
            stream.limit = archive.offset + HEADER_LIMIT
            if not info.isdir():
                yield _member(archive, info)
        end = archive.offset
    stream.drain()
    if stream.content > end:
        raise tarfile.ReadError(
            f"there is data after byte {end}, where it ends: it is damaged, or several archives "
            "were joined into one"
        )
    if stream.length < end + END_MARK:
        raise tarfile.ReadError("it has no end-of-archive mark: it was cut off")


def _opened(stream: "_Counted") -> tarfile.TarFile:
    file = cast(IO[bytes], stream)
    try:
        return tarfile.open(fileobj=file, mode="r|", encoding="utf-8", errors="surrogateescape")
    except tarfile.ReadError as error:
        raise tarfile.ReadError(f"it is no tar archive ({error})") from error


def _member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    name = info.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if not info.isreg() or info.issparse():
        return Member(name, None, "not_a_file")
    if info.size > MEMBER_LIMIT:
        return Member(name, None, "too_large")
    file = archive.extractfile(info)
    data = file.read() if file else b""
    if len(data) != info.size:
        raise tarfile.ReadError(f"member {name} is cut off")
    return Member(name, data)


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(2)
    whole = cast(IO[bytes], _Begun(start, raw))
    return cast(IO[bytes], gzip.GzipFile(fileobj=whole)) if start == MAGIC_GZIP else whole


class _Begun:
    """A reader whose first bytes were read already; not every store can go back."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self.start, self.rest = start, rest

    def read(self, size: int = -1) -> bytes:
        if self.start and size:
            start, self.start = self.start, b""
            return start
        return self.rest.read(size)


class _Counted:
    """A reader that knows its `length` so far, and where its `content`, all but zeros, ends."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw = raw
        self.length = 0
        self.content = 0
        self.limit = HEADER_LIMIT
        self.ended = False

    def read(self, size: int = -1) -> bytes:
        """Raises ReadError where headers go on and on, or a member far beyond the end."""
        if self.ended:
            raise tarfile.ReadError("a member claims more than there is: it was cut off")
        if self.length > self.limit:
            raise tarfile.ReadError(f"a header has over {HEADER_LIMIT} bytes")
        data = self.raw.read(size)
        if filled := len(data.rstrip(b"\0")):
            self.content = self.length + filled
        self.length += len(data)
        self.ended = not data
        return data

    def drain(self) -> None:
        """Read to the end, which is mostly zeros."""
        self.limit = 1 << 62
        while not self.ended:
            self.read(1 << 16)

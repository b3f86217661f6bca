"""Read a file at any URL front to back, in ranges: some ahead, bounded, resumed after a cut.

A file of an object store or web server is fetched in ranges of BLOCK bytes, AHEAD of them at a
time, so at most AHEAD + 1 blocks are in memory. A range that fails is asked for again from the
byte reached, in smaller pieces, for as long as `pipelines.io.patience` says. Stores that know a
version refuse a file that was replaced meanwhile.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import IO, cast

import fsspec
from fsspec.spec import AbstractBufferedFile

from pipelines.io.patience import patience, patiently, waiting
from pipelines.io.redaction import refuse_credentials
from pipelines.io.turns import turn
from pipelines.io.urls import is_http

BLOCK = 8 << 20  # bytes
AHEAD = 3
SMALLEST = 64 << 10  # bytes that are asked for at least, after failures
Fetch = Callable[[int, int], bytes]


@contextlib.contextmanager
def opened(url: str, start: int = 0) -> Iterator[IO[bytes]]:
    """A reader of the bytes from `start` on; what it offers is `read`.

    Raises whatever the store does, once it has been waited for.
    """
    fs, path = fsspec.core.url_to_fs(refuse_credentials(url))
    with patiently(lambda: fs.open(path, "rb", cache_type="none"), url) as file:
        if not (isinstance(file, AbstractBufferedFile) and file.size):
            # This machine's files, and servers that tell no size or say that they know no ranges.
            _skip(file, start)
            yield file
            return
        if is_http(fs) and file.size > BLOCK and not _knows_ranges(file, url):
            with patiently(lambda: fs.open(path, "rb", block_size=0), url) as stream:
                _skip(stream, start)
                yield stream
            return
        ahead = AHEAD if fs.async_impl else 1
        with contextlib.closing(_Ranges(file._fetch_range, url, start, file.size, ahead)) as read:
            yield cast(IO[bytes], read)


def read_bytes(url: str) -> bytes:
    """All of a small file at a path or URL."""
    fs, path = fsspec.core.url_to_fs(refuse_credentials(url))
    return patiently(lambda: bytes(fs.cat_file(path)), url)


def _skip(file: IO[bytes], count: int) -> None:
    while count > 0 and (data := file.read(min(count, BLOCK))):
        count -= len(data)


def _knows_ranges(file: AbstractBufferedFile, url: str) -> bool:
    """Many small web servers, Python's own among them, answer any range with the whole file."""
    try:
        patiently(lambda: file._fetch_range(file.size - 1, file.size), url)
    except ValueError:
        return False
    return True


class _Ranges:
    """The bytes [next, end) of a file, fetched by threads that run ahead.

    They are daemons, so that a store which never answers does not keep a stopped process alive.
    """

    def __init__(self, fetch: Fetch, url: str, start: int, end: int, ahead: int) -> None:
        self.fetch, self.url, self.next, self.end, self.ahead = fetch, url, start, end, ahead
        self.patience = patience()  # of the thread that reads
        self.waiting: deque[Future[bytes]] = deque()
        self.block, self.at = b"", 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, fewer at the end; all that are left if it is negative."""
        parts, left = [], size if size >= 0 else self.end
        while left > 0 and (part := self._part(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _part(self, most: int) -> bytes:
        """Up to `most` bytes of one block; none at the end."""
        self._ask()
        if self.at == len(self.block) and self.waiting:
            self.block, self.at = self.waiting[0].result(), 0
            self.waiting.popleft()  # only now: what failed fails again
            self._ask()
        part = self.block[self.at : self.at + most]
        self.at += len(part)
        return part

    def _ask(self) -> None:
        while len(self.waiting) < self.ahead and self.next < self.end:
            start, self.next = self.next, min(self.next + BLOCK, self.end)
            future: Future[bytes] = Future()
            self.waiting.append(future)
            told = (future, start, self.next)
            threading.Thread(target=self._fill, args=told, name="range", daemon=True).start()

    def _fill(self, future: Future[bytes], start: int, end: int) -> None:
        try:
            future.set_result(self._whole(start, end))
        except BaseException as error:
            future.set_exception(error)

    def _whole(self, start: int, end: int) -> bytes:
        """One block, in one piece or, after failures, in several."""
        parts, size = [], end - start

        def piece() -> bytes:
            nonlocal size
            upto = min(start + size, end)
            try:
                if self.closed:
                    raise ValueError("the reader was closed")
                with turn():
                    data = self.fetch(start, upto)
                if len(data) != upto - start:
                    raise ConnectionError(f"{len(data)} of {upto - start} bytes came")
            except Exception:
                size = max(size // 4, min(SMALLEST, BLOCK))
                raise
            return data

        with waiting(self.patience):
            while start < end:
                parts.append(patiently(piece, self.url))
                start += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Fetch nothing more; what is on its way is left to arrive."""
        self.closed = True

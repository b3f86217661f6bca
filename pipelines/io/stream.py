"""From a shard to batches of decoded images: read ahead, decode in threads, bounded memory."""

import queue
import threading
import time
from collections import deque
from collections.abc import Container, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from pipelines.io.images import Decoded, Transform, decode
from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample, samples

T = TypeVar("T")
Stream = Generator[T, None, None]

AHEAD_BYTES = 256 << 20  # encoded images read but not yet taken, besides the one read last


class Clock:
    """Seconds by phase, added to from several threads."""

    def __init__(self) -> None:
        self.seconds = {"read": 0.0, "decode": 0.0, "wait": 0.0, "forward": 0.0, "write": 0.0}
        self._lock = threading.Lock()

    def add(self, phase: str, start: float) -> None:
        """Count the time since `start` (time.perf_counter) for `phase`."""
        spent = time.perf_counter() - start
        with self._lock:
            self.seconds[phase] += spent


def batches(
    url: str,
    transform: Transform,
    size: int,
    pool: ThreadPoolExecutor,
    clock: Clock,
    keys: Container[str] | None = None,
) -> Stream[list[Decoded | Reject]]:
    """Decoded samples of a shard in order, `size` at a time; reading runs ahead in a thread.

    Only those of `keys`, if they are given.

    Once closed, nothing more is read or decoded and the shard is closed, soon after. Raises what
    reading raises, and MemoryError.
    """
    grouped = _batched(_decoded(_kept(url, keys), transform, pool, 2 * size, clock), size)
    with closing(prefetch(grouped, depth=2)) as fetched:
        while True:
            start = time.perf_counter()
            batch = next(fetched, None)
            clock.add("wait", start)
            if batch is None:
                return
            yield batch


def _kept(url: str, keys: Container[str] | None) -> Stream[Sample | Reject]:
    with closing(samples(url)) as found:
        for sample in found:
            if keys is None or sample.key in keys:
                yield sample


def _decoded(
    found: Stream[Sample | Reject],
    transform: Transform,
    pool: ThreadPoolExecutor,
    ahead: int,
    clock: Clock,
) -> Stream[Decoded | Reject]:
    pending: deque[tuple[Future[Decoded | Reject], int]] = deque()
    held = 0  # bytes
    try:
        with closing(found), closing(_timed(found, clock)) as read:
            for sample in read:
                size = len(sample.image) if isinstance(sample, Sample) else 0
                pending.append((pool.submit(_decode, sample, transform, clock), size))
                held += size
                while pending and (len(pending) >= ahead or held > AHEAD_BYTES):
                    first, size = pending.popleft()
                    held -= size
                    yield first.result()
        while pending:
            yield pending.popleft()[0].result()
    finally:
        for future, _ in pending:
            future.cancel()


def _decode(sample: Sample | Reject, transform: Transform, clock: Clock) -> Decoded | Reject:
    if isinstance(sample, Reject):
        return sample
    start = time.perf_counter()
    try:
        return decode(sample, transform)
    finally:
        clock.add("decode", start)


def _timed(items: Iterator[T], clock: Clock) -> Stream[T]:
    while True:
        start = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            clock.add("read", start)
        yield item


def _batched(items: Stream[T], size: int) -> Stream[list[T]]:
    batch: list[T] = []
    with closing(items):
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


def prefetch(items: Stream[T], depth: int) -> Stream[T]:
    """Run an iterator in a thread, at most `depth` items ahead; its exceptions come out here.

    Once closed, the thread closes `items` as soon as these have made what they are at, and ends.
    """
    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def offer(entry: tuple[str, T | BaseException | None]) -> None:
        while not stopped.is_set():
            try:
                return ready.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def fill() -> None:
        try:
            with closing(items):
                for item in items:
                    offer(("item", item))
                    if stopped.is_set():
                        return
            offer(("end", None))
        except BaseException as error:
            offer(("error", error))

    threading.Thread(target=fill, daemon=True, name="prefetch").start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value  # type: ignore[misc]
            yield value  # type: ignore[misc]
    finally:
        stopped.set()

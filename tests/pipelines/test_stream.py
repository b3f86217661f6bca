"""Reading ahead is bounded, and a stream that is left early leaves nothing behind."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch
from PIL import Image

from pipelines.io import stream
from pipelines.io.images import Decoded, Transform
from pipelines.io.rejects import Reject
from pipelines.io.shards import Sample
from pipelines.io.stream import Clock, batches, prefetch
from tests.pipelines.test_images import STILL


class Shard:
    """Stands in for a shard of endless samples: how many were read, and whether it was closed."""

    def __init__(self, image: bytes, fails_at: int | None = None) -> None:
        self.image, self.fails_at, self.read, self.closed = image, fails_at, 0, False

    def samples(self, url: str) -> Iterator[Sample | Reject]:
        try:
            for i in itertools.count():
                if i == self.fails_at:
                    raise OSError("the disk is gone")
                self.read += 1
                yield Sample(f"{i:06d}", self.image, None, {})
        finally:
            self.closed = True


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def fetching() -> bool:
    return any(thread.name == "prefetch" for thread in threading.enumerate())


class Gate:
    """A transform that waits until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.calls = 0

    def __call__(self, image: Image.Image, data: bytes) -> torch.Tensor:
        self.calls += 1
        self.open.wait(60)
        return torch.zeros(3, 1, 1)


def size_of(image: Image.Image, data: bytes) -> torch.Tensor:
    return torch.tensor(image.size)


def opened(
    monkeypatch: pytest.MonkeyPatch, shard: Shard, transform: Transform, pool: ThreadPoolExecutor
) -> stream.Stream[list[Decoded | Reject]]:
    """Batches of ten of the shard."""
    monkeypatch.setattr(stream, "samples", shard.samples)
    return batches("url", transform, 10, pool, Clock())


@pytest.mark.parametrize(("limit", "most"), [(1 << 20, 20), (5, 6), (0, 1)])
def test_encoded_images_are_read_ahead_by_number_and_by_bytes(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, gate = Shard(STILL["jpeg"]), Gate()
    monkeypatch.setattr(stream, "AHEAD_BYTES", limit * len(shard.image))
    with ThreadPoolExecutor(1) as pool:
        found = opened(monkeypatch, shard, gate, pool)
        consumer = threading.Thread(target=found.__next__)
        consumer.start()
        assert soon(lambda: shard.read == most)
        time.sleep(0.2)
        assert shard.read == most
        gate.open.set()
        consumer.join()
        found.close()


def test_order_is_kept_where_bytes_are_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AHEAD_BYTES", 0)
    with (
        ThreadPoolExecutor(2) as pool,
        closing(opened(monkeypatch, Shard(STILL["jpeg"]), size_of, pool)) as found,
    ):
        items = [item for batch in itertools.islice(found, 3) for item in batch]
    assert all(isinstance(item, Decoded) for item in items)
    assert [item.sample.key for item in items] == [f"{i:06d}" for i in range(30)]  # type: ignore[union-attr]


def test_leaving_early_closes_the_shard_and_ends_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = Shard(STILL["jpeg"])
    with ThreadPoolExecutor(2) as pool:
        found = opened(monkeypatch, shard, size_of, pool)
        assert len(next(found)) == 10
        assert fetching()
        found.close()
        assert soon(lambda: shard.closed and not fetching())


def test_what_waits_to_be_decoded_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    shard, gate = Shard(STILL["jpeg"], fails_at=15), Gate()
    with ThreadPoolExecutor(1) as pool:
        found = opened(monkeypatch, shard, gate, pool)
        with pytest.raises(OSError, match="the disk is gone"):
            next(found)
        gate.open.set()
    assert gate.calls <= 1
    assert shard.closed
    assert soon(lambda: not fetching())


def test_a_machine_without_memory_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    def transform(image: Image.Image, data: bytes) -> torch.Tensor:
        raise MemoryError

    shard = Shard(STILL["jpeg"])
    with ThreadPoolExecutor(2) as pool, pytest.raises(MemoryError):
        next(opened(monkeypatch, shard, transform, pool))
    assert soon(lambda: shard.closed and not fetching())


def test_prefetch_runs_no_further_ahead_than_its_depth() -> None:
    made = 0

    def numbers() -> stream.Stream[int]:
        nonlocal made
        for i in itertools.count():
            made += 1
            yield i

    with closing(prefetch(numbers(), depth=2)) as found:
        assert [next(found), next(found)] == [0, 1]
        time.sleep(0.2)
        assert made <= 5

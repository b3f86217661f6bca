"""Which shards are leased and committed together: the largest first, in groups that shrink."""

from collections.abc import Callable, Iterator, Mapping
from statistics import fmean

from pipelines.extract.settings import Group
from pipelines.io import shards
from pipelines.io.urls import Fingerprint

MOMENTS_PER_PAIR = 1800  # bytes, whatever the number of images (`nhd bench storage`)
MOMENTS_PER_IMAGE = 2000  # bytes; full groups have enough images to stay under it
IMAGES_PER_SHARD = 1000  # assumed when sizing groups
FULL_GROUPS = 8192  # about as many full groups at most, since readers merge all moments
SHARE = 2  # a group takes at most one part in SHARE·workers of what is left
LEAST = 33  # and is full at one part in LEAST of the full size, however little is left
Shard = tuple[str, str]  # id, URL


class Groups(Iterator[Group]):
    """Every shard in one group, the groups in the order in which they should be leased.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987) in units of size rather than shards,
    and largest first: at the end workers wait for small groups of small shards only. `nhd bench
    schedule` holds it against other rules. Each group is cut when it is asked for, for as many
    workers as there are by then.

    Args:
        waiting: in any order.
        sizes: by shard id, positive, in any unit.
        workers: how many groups are worked on at a time.
        most: the full size of a group, in shards of average size.
    """

    def __init__(
        self,
        waiting: list[Shard],
        sizes: Mapping[str, float],
        workers: Callable[[], int],
        most: int,
    ) -> None:
        self.sizes, self.workers = sizes, workers
        self.left = sum(sizes[shard] for shard, _ in waiting)
        self.full = most * self.left / max(1, len(waiting))
        smallest_first = sorted(waiting, key=lambda shard: (-sizes[shard[0]], shard[0]))[::-1]
        self.waiting = smallest_first  # the next is its last
        self.last = 1

    def __next__(self) -> Group:
        """The next group."""
        if not self.waiting:
            raise StopIteration
        members: list[Shard] = []
        share = self.left / (SHARE * self.workers())
        room = max(self.full / LEAST, min(self.full, share))
        while self.waiting and (not members or self.sizes[self.waiting[-1][0]] <= room):
            members.append(self.waiting.pop())
            size = self.sizes[members[-1][0]]
            room -= size
            self.left -= size
        self.last = len(members)
        return Group(tuple(sorted(members)))

    def __length_hint__(self) -> int:
        """About how many are left: as many as if all were like the last."""
        return -(-len(self.waiting) // self.last)


def groups_of(
    waiting: list[Shard], sizes: Mapping[str, float], workers: int, most: int
) -> list[Group]:
    """All the `Groups` for a number of workers that does not change."""
    return list(Groups(waiting, sizes, lambda: workers, most))


def full_size(units: Mapping[str, int], waiting: int) -> int:
    """Shards per full group: enough images for its moments, and few groups in all.

    The moments of a group weigh the same however many images it has.
    """
    enough = -(-MOMENTS_PER_PAIR * units["pairs"] // (MOMENTS_PER_IMAGE * IMAGES_PER_SHARD))
    return max(1, enough, waiting // FULL_GROUPS)


def sizes_of(sources: Mapping[str, Fingerprint | None]) -> dict[str, float]:
    """Bytes by shard id; the average for shards whose store does not tell them."""
    known = {url: found["size"] for url, found in sources.items() if found and found["size"] > 0}
    average = fmean(known.values()) if known else 1.0
    return {shards.shard_id(url): known.get(url, average) for url in sources}

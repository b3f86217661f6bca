"""How long workers wait for the last one: shards of unequal size under several rules of leasing.

A worker takes the next group as soon as it is free. It is as long at a group as its shards are
large, and COMMIT longer. Time is counted in shards of average size. Workers are equally fast and
none fails.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

from pipelines.bench.result import Result
from pipelines.extract.groups import full_size, groups_of

SHARDS = 10_000
WORKERS = 256
COMMIT = 2.0
"""RN50x16's moments take 1 s to write (`nhd bench storage`), the time of some 2,000 images on one
H200 at 40 % of its arithmetic limit."""
UNITS = {"pairs": 147_456}
SEEDS = 5
BUSY = 0.9  # share of the workers; the tail begins when fewer are busy
Sizes = list[float]
Work = list[float]  # of each group, in the order of leasing


class Outcome(NamedTuple):
    """How a run went, in units of its ideal length: all work, shared out evenly."""

    makespan: float
    tail: float
    """Time at the end in which fewer than nine in ten workers are busy."""
    idle: float
    """Share of all workers' time, from the start to the end, in which there was nothing to do."""
    groups: float


def simulate(groups: Work, workers: int, commit: float = 0.0) -> Outcome:
    """Lease the groups in their order; the ideal is without commits."""
    free = [0.0] * workers
    for work in groups:
        heapq.heapreplace(free, free[0] + work + commit)
    ends = sorted(free)
    ideal = sum(groups) / workers
    few = ends[int((1 - BUSY) * workers)]
    idle = 1 - sum(ends) / (workers * ends[-1])
    return Outcome(ends[-1] / ideal, (ends[-1] - few) / ideal, idle, len(groups))


def lognormal(seed: int) -> Sizes:
    """Sigma 1: the largest of 10,000 shards is about 25 times the average."""
    draw = random.Random(seed)
    return _average_one([draw.lognormvariate(0, 1) for _ in range(SHARDS)])


def pareto(seed: int) -> Sizes:
    """Alpha 2, whose variance is infinite: one shard alone may exceed a worker's fair part."""
    draw = random.Random(seed)
    return _average_one([draw.paretovariate(2) for _ in range(SHARDS)])


def _average_one(sizes: Sizes) -> Sizes:
    average = sum(sizes) / len(sizes)
    return [size / average for size in sizes]


def equal(sizes: Sizes) -> Work:
    """Groups of equally many shards, in the order given: at least four groups for each worker."""
    count = max(1, min(full_size(UNITS, len(sizes)), len(sizes) // (4 * WORKERS)))
    return [sum(sizes[i : i + count]) for i in range(0, len(sizes), count)]


def shrinking(sizes: Sizes) -> Work:
    """Guided self-scheduling by number of shards, in the order given: half a worker's fair part of
    what is left."""
    found, most = [], full_size(UNITS, len(sizes))
    start = 0
    while start < len(sizes):
        count = max(1, min(most, (len(sizes) - start) // (2 * WORKERS)))
        found.append(sum(sizes[start : start + count]))
        start += count
    return found


def ours(sizes: Sizes) -> Work:
    """The product's rule, which puts the shards in order itself."""
    names = [str(index) for index in range(len(sizes))]
    by_name = dict(zip(names, sizes, strict=True))
    waiting = [(name, "") for name in names]
    groups = groups_of(waiting, by_name, WORKERS, full_size(UNITS, len(sizes)))
    return [sum(by_name[name] for name, _ in group.shards) for group in groups]


def largest(sizes: Sizes) -> Sizes:
    """Longest processing time first."""
    return sorted(sizes, reverse=True)


def shuffled(sizes: Sizes) -> Sizes:
    """In random order."""
    return random.Random(0).sample(sizes, len(sizes))


EQUAL, OURS = "equal groups by id", "by size, largest first"
RULES: dict[str, Callable[[Sizes], Work]] = {
    EQUAL: equal,
    "equal groups, largest first": lambda sizes: equal(largest(sizes)),
    "equal groups, shuffled": lambda sizes: equal(shuffled(sizes)),
    "shrinking groups by id": shrinking,
    "shrinking groups, largest first": lambda sizes: shrinking(largest(sizes)),
    "one shard each by id": list,
    "one shard each, largest first": largest,
    OURS: ours,
}


def compare() -> Iterator[Result]:
    """The rules on both kinds of shards, without and with the time of commits; each as a line, and
    the product's against equal groups by id as a result.
    """
    for draw in (lognormal, pareto):
        samples = [draw(seed) for seed in range(SEEDS)]
        bound = median(max(1.0, max(sizes) * WORKERS / SHARDS) for sizes in samples)
        for commit in (0.0, COMMIT):
            title = f"{draw.__name__} shards, a commit takes {commit:g}"
            print(f"{title}; no rule is below {bound:.3f} of the ideal", flush=True)
            found = {name: _median(rule, samples, commit) for name, rule in RULES.items()}
            print("\n".join(_line(name, outcome) for name, outcome in found.items()), flush=True)
            ours, theirs = found[OURS].makespan, found[EQUAL].makespan
            yield Result(
                name=f"schedule: {title}",
                ours=ours,
                unit="times the ideal",
                theirs=theirs,
                against=EQUAL,
                ratio=ours / theirs,
                most=1,
            )


def _median(rule: Callable[[Sizes], Work], samples: list[Sizes], commit: float) -> Outcome:
    found = [simulate(rule(sizes), WORKERS, commit) for sizes in samples]
    return Outcome(*(median(column) for column in zip(*found, strict=True)))


def _line(name: str, found: Outcome) -> str:
    return (
        f"  {name:32}  makespan {found.makespan:6.3f}  tail {found.tail:6.3f}  "
        f"idle {100 * found.idle:3.0f} %  groups {found.groups:6.0f}"
    )

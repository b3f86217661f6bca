"""The soak: an extraction whose processes and nodes are killed at random until it is done.

Its result is compared with that of the same extraction left in peace.
"""

import random
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from pipelines.bench.difference import Difference, difference
from pipelines.bench.nodes import ONE, Nodes, cluster, extraction, kill
from pipelines.bench.result import Result
from pipelines.errors import Incomplete
from pipelines.io import shards
from pipelines.io.store import Run
from pipelines.tiny.dataset import write_scenes

VICTIMS = {"worker": 7, "node": 2, "driver": 1}  # how often each is chosen, out of ten
LIMIT = 3600.0  # seconds after which the soak is given up
PER_SHARD = 50


@dataclass
class Soak:
    """What was done to the run, and what came of it."""

    shards: int
    images: int
    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    """Times that the command was run until it exited with 0."""
    redone: int = 0
    """Leases that were given to another worker, as the driver said."""
    calm: float = 0.0
    """Seconds of the run left in peace."""
    seconds: float = 0.0
    difference: Difference | None = None

    def results(self) -> list[Result]:
        """The table, for `nhd bench`; a run left in peace is the other side."""
        assert self.difference is not None
        counts = {k: float(v) for k, v in asdict(self.difference).items()}
        moments = counts.pop("moments")
        found = [
            Result(f"faults: {name.replace('_', ' ')}", value, "", most=0)
            for name, value in counts.items()
        ]
        found.append(Result("faults: moments", moments, "", most=1e-9))
        took = Result(
            name="faults: time",
            ours=self.seconds,
            unit="s",
            theirs=self.calm,
            against="s in peace",
            ratio=self.seconds / self.calm,
        )
        return [*found, took]

    def lines(self) -> list[str]:
        """The table, for people."""
        killed = ", ".join(f"{count} {kind}s" for kind, count in sorted(self.kills.items()))
        return [
            f"shards: {self.shards}, images: {self.images}",
            f"killed: {killed}",
            f"times the command was run: {self.starts}",
            f"leases redone: {self.redone}",
        ]


def measure(folder: str, seed: int) -> list[Result]:
    """The soak, with the story of what was done to it."""
    done = soak(folder, seed=seed)
    print("\n".join(done.lines()), flush=True)
    return done.results()


def soak(folder: str, count: int = 200, every: float = 8.0, seed: int = 0) -> Soak:
    """Extract `count` small shards of scenes twice, the second time killing something at random
    every `every` seconds, half to one and a half times that.

    Raises Incomplete if the command ends in any way but those it promises, or takes over an hour.
    """
    random_ = random.Random(seed)
    pattern = _input(f"{folder}/shards", count)
    found = Soak(shards=count, images=count * PER_SHARD)
    with cluster(ONE, ONE) as nodes, open(f"{folder}/drivers.log", "w+b") as log:
        start = time.monotonic()
        _expect(_driver(nodes, pattern, f"{folder}/calm", log).wait(LIMIT), log)
        found.calm = time.monotonic() - start
        start = time.monotonic()
        _torment(nodes, pattern, f"{folder}/soaked", log, found, random_, every)
        found.seconds = time.monotonic() - start
    found.redone = Path(log.name).read_text().count("is leased again")
    found.difference = difference(Run(f"{folder}/calm"), Run(f"{folder}/soaked"))
    return found


def _input(folder: str, count: int) -> str:
    """Shards of scenes; every tenth also holds a broken image and a sample without one."""
    urls = write_scenes(folder, count * PER_SHARD, seed=0, per_shard=PER_SHARD)
    for url in urls[::10]:
        found = [s for s in shards.samples(url) if isinstance(s, shards.Sample)]
        members = [m for s in found for m in _members(s)]
        shards.write(url, [*members, ("broken.jpg", b"\xff\xd8 no more"), ("none.json", b"{}")])
    return f"{folder}/*.tar"


def _members(sample: shards.Sample) -> list[tuple[str, bytes]]:
    meta = (sample.meta or "{}").encode()
    return [(f"{sample.key}.jpg", sample.image), (f"{sample.key}.json", meta)]


def _driver(nodes: Nodes, pattern: str, out: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [*extraction(pattern, out), "--workers", "2"]
    return subprocess.Popen(command, env=nodes.environment, stdout=log, stderr=log)


def _torment(
    nodes: Nodes,
    pattern: str,
    out: str,
    log: IO[bytes],
    found: Soak,
    random_: random.Random,
    every: float,
) -> None:
    deadline = time.monotonic() + LIMIT
    driver = _driver(nodes, pattern, out, log)
    found.starts = 1
    while time.monotonic() < deadline:
        try:
            code = driver.wait(every * random_.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            _strike(nodes, driver, found, random_)
            continue
        if code == 0:
            return
        _expect(code, log, also=(3, -9))
        driver = _driver(nodes, pattern, out, log)
        found.starts += 1
    kill(driver.pid)
    raise Incomplete(f"the soak took over {LIMIT:.0f} s; its driver's words are in {log.name}")


def _strike(
    nodes: Nodes, driver: subprocess.Popen[bytes], found: Soak, random_: random.Random
) -> None:
    """Kill something; a node comes back at once, as a cluster's autoscaler would see to it."""
    (kind,) = random_.choices(list(VICTIMS), list(VICTIMS.values()))
    workers = nodes.workers()
    if kind == "worker" and not workers:
        return  # all are starting
    if kind == "worker":
        kill(random_.choice(workers))
    elif kind == "node":
        nodes.lose(random_.randrange(len(nodes.nodes)))
        nodes.add()
    else:
        kill(driver.pid)
    found.kills[kind] += 1


def _expect(code: int, log: IO[bytes], also: tuple[int, ...] = ()) -> None:
    if code != 0 and code not in also:
        raise Incomplete(f"nhd extract ended with {code}; its words are in {log.name}")

"""What a job tells Prometheus, through Ray's metrics API and from its driver alone.

The driver hears the totals of every worker anyway. Ray sends a driver's last numbers when it ends,
but not those of an actor that is killed, which is how every worker here ends. Ray adds `ray_`
before each name and `_total` behind a counter's. Labels are the run, the kind of job, and the
address of the worker's node; never a shard, of which there may be 100,000.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from pipelines.run.identity import Job
from pipelines.run.runner import Summary

EVERY = 5.0  # seconds; Ray itself sends every ten


class About(NamedTuple):
    """A metric as it is declared: labels come after `run` and `kind`."""

    type: str
    labels: tuple[str, ...]
    text: str


METRICS = {
    "nhd_images": About("Counter", ("node",), "images that workers have measured"),
    "nhd_rejects": About("Counter", ("node", "reason"), "samples that could not be used"),
    "nhd_read_bytes": About("Counter", ("node",), "bytes of the shards that were read to the end"),
    "nhd_phase_seconds": About("Counter", ("node", "phase"), "seconds of the workers by phase"),
    "nhd_worker_seconds": About("Counter", ("node",), "seconds that workers were there"),
    "nhd_leases_retried": About("Counter", (), "leases given again after a failure"),
    "nhd_workers_died": About("Counter", (), "workers that died, or were ended, with a lease"),
    "nhd_shards": About("Gauge", ("state",), "shards of this job: done, failed, waiting"),
    "nhd_leases": About("Gauge", ("state",), "items that are leased, or queued for a lease"),
    "nhd_workers": About("Gauge", ("node", "state"), "workers: busy, idle, starting"),
}
Labels = tuple[str, ...]
Reading = tuple[str, Labels, float]


class Shards(NamedTuple):
    """How far a job is, in what it counts: shards, or groups of them."""

    done: int
    failed: int
    all: int


class Exporter(Protocol):
    """Where readings go; `labels` are in the order of METRICS."""

    def add(self, name: str, labels: Labels, value: float) -> None:
        """Count something."""

    def set(self, name: str, labels: Labels, value: float) -> None:
        """Say how much there is now."""


class ThroughRay:
    """Ray's metrics API, with the labels of a job."""

    def __init__(self, job: Job) -> None:
        from ray.util import metrics

        self.made: dict[str, Any] = {}
        for name, of in METRICS.items():
            keys = (*Job._fields, *of.labels)
            made = getattr(metrics, of.type)(name, of.text, keys)
            self.made[name] = made.set_default_tags(job._asdict())

    def add(self, name: str, labels: Labels, value: float) -> None:
        """See Exporter."""
        self.made[name].inc(value, tags=self._tags(name, labels))

    def set(self, name: str, labels: Labels, value: float) -> None:
        """See Exporter."""
        self.made[name].set(value, tags=self._tags(name, labels))

    def _tags(self, name: str, labels: Labels) -> dict[str, str]:
        return dict(zip(METRICS[name].labels, labels, strict=True))


def exporter_of(job: Job) -> Exporter | None:
    """Ray's, or None where this process has no Ray: there is then nobody to tell."""
    import sys

    ray = sys.modules.get("ray")
    return ThroughRay(job) if ray is not None and ray.is_initialized() else None


class Meter:
    """Turns what the driver knows at a moment into counters that only grow, and gauges."""

    def __init__(self, exporter: Exporter | None) -> None:
        self.exporter = exporter
        self.counted: dict[Any, float] = {}
        self.present: set[tuple[str, Labels]] = set()
        self.last = time.monotonic()

    def update(
        self, summary: Summary, shards: Shards, workers: list[dict[str, Any]], last: bool = False
    ) -> None:
        """Tell what is new, if it is time, or the `last` time."""
        now = time.monotonic()
        if self.exporter is None or (now - self.last < EVERY and not last):
            return
        self.last, spent = now, now - self.last
        for (name, labels), value in self._counters(summary, workers, spent).items():
            if value > 0:
                self.exporter.add(name, labels, value)
        there = {(name, labels): value for name, labels, value in gauges(summary, shards, last)}
        for name, labels in {*self.present, *there}:  # what is there no longer goes to zero
            self.exporter.set(name, labels, there.get((name, labels), 0))
        self.present |= there.keys()

    def _counters(
        self, summary: Summary, workers: list[dict[str, Any]], spent: float
    ) -> dict[tuple[str, Labels], float]:
        """What to count, put together by node: Ray takes 4 µs for each call."""
        found: dict[tuple[str, Labels], float] = defaultdict(float)
        known = [(of.get("worker"), reading) for of in workers for reading in readings(of)]
        known.append((None, ("nhd_leases_retried", (), summary.retried)))
        known.append((None, ("nhd_workers_died", (), summary.died)))
        for worker, (name, labels, value) in known:
            found[name, labels] += self._grown((worker, name, labels), value)
        for (node, state), count in summary.workers.items():
            if state != "starting":
                found["nhd_worker_seconds", (node,)] += spent * count
        return found

    def _grown(self, what: tuple[Any, str, Labels], value: float) -> float:
        """How much more it is; a worker's answers may arrive in the wrong order."""
        before = self.counted.get(what, 0.0)
        self.counted[what] = max(before, value)
        return self.counted[what] - before


def readings(totals: dict[str, Any]) -> Iterator[Reading]:
    """What a worker's running totals say."""
    node = str(totals.get("node", ""))
    yield "nhd_images", (node,), totals["images"]
    reasons = Counter(totals.get("reasons", {}))
    if other := totals["rejects"] - reasons.total():
        reasons["not told"] = other
    for reason, count in reasons.items():
        yield "nhd_rejects", (node, reason), count
    yield "nhd_read_bytes", (node,), totals.get("bytes", 0)
    for phase, seconds in totals["seconds"].items():
        yield "nhd_phase_seconds", (node, phase), seconds


def gauges(summary: Summary, shards: Shards, last: bool) -> Iterator[Reading]:
    """How things stand; when a job ends, nobody works any more."""
    waiting = shards.all - shards.done - shards.failed
    for state, count in (("done", shards.done), ("failed", shards.failed), ("waiting", waiting)):
        yield "nhd_shards", (state,), count
    yield "nhd_leases", ("queued",), 0 if last else summary.queued
    yield "nhd_leases", ("leased",), 0 if last else summary.leased
    for (node, state), count in ({} if last else summary.workers).items():
        yield "nhd_workers", (node, state), count

"""A job that is watched while it runs: progress for people, metrics for Prometheus."""

from collections.abc import Callable
from typing import Any

from pipelines.run.identity import Job
from pipelines.run.lock import Held
from pipelines.run.metrics import Meter, Shards, exporter_of
from pipelines.run.progress import Progress
from pipelines.run.runner import Pool, Summary, run


class Watch:
    """Shows and exports how a job stands; `total` is how many `unit`s there are to do."""

    def __init__(self, job: Job, total: int, unit: str = "shard") -> None:
        self.shown, self.meter = Progress(total, unit), Meter(exporter_of(job))
        self.total, self.seen = total, (Summary(), Shards(0, 0, total), list[dict[str, Any]]())

    def update(self, summary: Summary, done: int, workers: list[dict[str, Any]]) -> None:
        """Take in the state of `run`, with how many units are done and the workers' totals."""
        failed = len(summary.failed)
        self.seen = summary, Shards(done, failed, self.total), workers
        self.shown.update(done, failed, workers)
        self.meter.update(*self.seen)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.shown.say(text)

    def close(self) -> None:
        """Remove the bar, and tell the last numbers."""
        self.shown.close()
        self.meter.update(*self.seen, last=True)


def run_watched(
    pool: Pool,
    items: list[Any],
    held: Held,
    job: Job,
    keep: Callable[[Any], None] = lambda _: None,
    unit: str = "shard",
) -> list[tuple[Any, Exception]]:
    """Run all items and `keep` what comes of each; return those that failed, with their errors.

    Raises Locked, before anything more is kept, where the lock went to somebody else.
    """
    watch = Watch(job, len(items), unit)

    def checked(value: Any) -> None:
        held.check()
        keep(value)

    def tick(summary: Summary, totals: list[dict[str, Any]]) -> None:
        held.check()
        watch.update(summary, summary.done, totals)

    try:
        return run(pool, items, checked, on_tick=tick, say=watch.say).failed
    finally:
        watch.close()

"""`run(pool, items)`: lease items to workers; retry, split and quarantine what fails.

A pool takes one item per free worker and reports outcomes; that is the whole contract, and both
pools of `pipelines.run.pools` pass the same tests.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.errors import JobError

ATTEMPTS = 3
TICK = 0.5  # seconds between looks at the workers' progress


class Worker(Protocol):
    """What a pool holds: built by a factory in its own process."""

    def work(self, item: Any) -> Any:
        """Do one item."""

    def progress(self) -> dict[str, Any]:
        """Running totals."""


@dataclass(frozen=True)
class Outcome:
    """What became of one leased item."""

    item: Any
    result: Any = None
    error: Exception | None = None


class Pool(Protocol):
    """Workers that take one item at a time."""

    size: int

    def describe(self) -> Any:
        """Build a worker and return its `describe()`; raises what building it raises."""

    def free(self) -> int:
        """How many items can be submitted now."""

    def submit(self, item: Any) -> None:
        """Lease an item to a free worker."""

    def wait(self, timeout: float) -> list[Outcome]:
        """The outcomes that arrived within `timeout` seconds, possibly none."""

    def progress(self) -> list[dict[str, Any]]:
        """Each worker's totals, as last heard."""

    def close(self) -> None:
        """Let the workers go."""


@dataclass
class Summary:
    """The end of a run: results in order of completion, and (item, last error) of the failed."""

    results: list[Any] = field(default_factory=list)
    failed: list[tuple[Any, Exception]] = field(default_factory=list)


def run(
    pool: Pool,
    items: Iterable[Any],
    split: Callable[[Any], list[Any]] = lambda item: [item],
    on_tick: Callable[[Summary, list[dict[str, Any]]], None] = lambda summary, progress: None,
    attempts: int = ATTEMPTS,
) -> Summary:
    """Do every item, each at most `attempts` times; a failed one that splits goes on in parts.

    JobError from a worker ends the run at once: it is about the whole job. Any other error is
    the item's own; after the last attempt the item is in `Summary.failed` and the rest goes on.
    """
    waiting: deque[tuple[Any, int]] = deque((item, 1) for item in items)
    tries: dict[int, int] = {}
    leased = 0
    summary = Summary()
    while waiting or leased:
        while waiting and pool.free():
            item, attempt = waiting.popleft()
            tries[id(item)] = attempt
            pool.submit(item)
            leased += 1
        for outcome in pool.wait(TICK):
            leased -= 1
            attempt = tries.pop(id(outcome.item))
            if outcome.error is None:
                summary.results.append(outcome.result)
                continue
            if isinstance(outcome.error, JobError):
                raise outcome.error
            parts = split(outcome.item)
            if len(parts) > 1:
                waiting.extend((part, 1) for part in parts)
            elif attempt < attempts:
                waiting.append((outcome.item, attempt + 1))
            else:
                summary.failed.append((outcome.item, outcome.error))
        on_tick(summary, pool.progress())
    return summary

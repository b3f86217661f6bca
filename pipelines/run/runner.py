"""`run(pool, items)`: lease items to workers; retry, split and quarantine what fails.

A pool takes one item per free worker and reports outcomes; that is the whole contract, and
`InProcess` and `RayActors` pass the same tests. An item is settled exactly once: its result is
handed to `keep`, or it ends in `Summary.failed`. What a worker does twice must do no harm.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.errors import JobError
from pipelines.run.waiting import Waiting

ATTEMPTS = 3  # times that an item may fail by itself
DEATHS = 5  # workers that may die with an item before it is held to be the cause
TICK = 0.5  # seconds between looks at the workers' progress
PAUSE = 0.5  # seconds before the first retry; doubles with each


class WorkerDied(Exception):
    """The worker ended, or was ended, with a lease in its hands; `node` is where it ran."""

    def __init__(self, text: str, node: str | None = None) -> None:
        super().__init__(text)
        self.node = node


@dataclass(frozen=True)
class Done:
    """What a worker returns of an item."""

    value: Any
    failed: tuple[tuple[Any, Exception], ...] = ()
    """The parts that failed, with the error."""
    left: tuple[Any, ...] = ()
    """The parts that were not begun, because the worker's node is about to go."""


class Worker(Protocol):
    """What a pool holds: built by a factory in its own process.

    Its attribute `leaving` is set where its node is about to go; it may then end an item early.
    """

    def describe(self) -> Any:
        """What only a built worker can tell."""

    def work(self, item: Any) -> Done:
        """Do one item."""

    def progress(self) -> dict[str, Any]:
        """Running totals; they change while work goes on."""


@dataclass(frozen=True)
class Outcome:
    """What became of one leased item."""

    item: Any
    done: Done | None = None
    error: Exception | None = None


class Pool(Protocol):
    """Workers that take one item at a time."""

    @property
    def size(self) -> int:
        """How many items are worked on at a time, or soon will be."""

    def describe(self) -> Any:
        """`describe()` of the first worker that is built; raises what building it raises."""

    def free(self) -> int:
        """How many items can be submitted now."""

    def submit(self, item: Any) -> None:
        """Lease an item to a free worker."""

    def wait(self, timeout: float) -> list[Outcome]:
        """The outcomes that arrived within `timeout` seconds, possibly none."""

    def progress(self) -> list[dict[str, Any]]:
        """Each worker's totals, as last heard."""

    def census(self) -> Counter[tuple[str, str]]:
        """How many workers there are by address of their node and state: busy, idle, starting."""

    def gone(self, node: str | None) -> bool:
        """Has this node gone away?"""

    def close(self) -> None:
        """Let the workers go."""


@dataclass
class Summary:
    """How a run stands: items settled, leases given again and why, (item, error) of the failed,
    items that wait for a lease or have one, and the workers."""

    done: int = 0
    retried: int = 0
    died: int = 0
    failed: list[tuple[Any, Exception]] = field(default_factory=list)
    queued: int = 0
    leased: int = 0
    workers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """See Pool.census."""


def run(
    pool: Pool,
    items: Iterable[Hashable],
    keep: Callable[[Any], None],
    split: Callable[[Any], list[Any]] = lambda item: [item],
    on_tick: Callable[[Summary, list[dict[str, Any]]], None] = lambda summary, progress: None,
    say: Callable[[str], None] = print,
) -> Summary:
    """Settle every item; `keep` is called with each result, here, in order of completion.

    An item (or part of one) that fails is tried ATTEMPTS times. One whose worker dies is split
    where it can be, so that a deadly part is found by halving; what cannot be split is given up
    after DEATHS. A node that goes away counts for nothing. JobError from a worker or from `keep`
    ends the run at once: it is about the whole job.
    """
    waiting = Waiting(iter(items))
    tries: Counter[Any] = Counter()
    deaths: dict[Any, list[WorkerDied]] = defaultdict(list)
    summary = Summary()

    def failed(item: Any, error: Exception) -> None:
        tries[item] += 1
        parts = split(item)
        if tries[item] >= ATTEMPTS and len(parts) == 1:
            summary.failed.append((item, error))
            return
        summary.retried += 1
        for part in parts:
            waiting.retry(part, PAUSE * 2 ** (tries[item] - 1))

    def died(item: Any, error: WorkerDied) -> None:
        summary.died += 1
        deaths[item].append(error)
        parts = split(item)
        # A node's end is noticed later than its workers': look only when it matters.
        if len(parts) == 1 and len(deaths[item]) >= DEATHS:
            deaths[item] = [death for death in deaths[item] if not pool.gone(death.node)]
            if len(deaths[item]) >= DEATHS:
                summary.failed.append((item, WorkerDied(f"{DEATHS} workers died with it")))
                return
        say(f"{error}; what it worked on is leased again")
        for part in parts:
            waiting.again(part)

    while summary.leased or waiting.any():
        while pool.free() and (item := waiting.take()) is not None:
            pool.submit(item)
            summary.leased += 1
        for outcome in pool.wait(TICK):
            summary.leased -= 1
            if outcome.done is not None:
                keep(outcome.done.value)
                summary.done += 1
                for part in outcome.done.left:
                    waiting.again(part)
                for part, error in outcome.done.failed:
                    failed(part, error)
            elif isinstance(outcome.error, JobError):
                raise outcome.error
            elif isinstance(outcome.error, WorkerDied):
                died(outcome.item, outcome.error)
            elif outcome.error is not None:
                failed(outcome.item, outcome.error)
        summary.queued, summary.workers = len(waiting), pool.census()
        on_tick(summary, pool.progress())
    return summary

"""`RayActors`: one Ray actor per worker; those that die, fail oddly or hang are replaced.

Ray does scheduling and placement; images and weights never travel through its object store. A
worker that dies is replaced by a new actor, which gets a lease only once it is built: with Ray's
own restarts, leases to an actor that is coming back fail at once and use up the item's attempts.
How many there are follows the nodes that live: see `crew`.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipelines.errors import JobError, ShardError
from pipelines.run.cluster import live_nodes
from pipelines.run.cores import CORES, limit_memory
from pipelines.run.crew import FEW, Crew
from pipelines.run.lease import LEASE, Lease
from pipelines.run.member import STARTING, Member, State
from pipelines.run.placement import Need
from pipelines.run.runner import TICK, Outcome, Worker, WorkerDied


class RayActors:
    """A pool of Ray actors: `size` of them, or 0 for as many as the live nodes have room for."""

    def __init__(
        self,
        factory: Callable[[], Worker],
        size: int = 0,
        cpus: float = 1,
        gpus: float = 0,
        lease: float = LEASE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        import ray

        self.ray, self.asked_for, self.lease = ray, size, lease
        # With no GPU asked for, Ray leaves CUDA_VISIBLE_DEVICES alone: hide the GPUs ourselves.
        variables = dict(environment or {}) | ({} if gpus else {"CUDA_VISIBLE_DEVICES": ""})
        kind: Any = ray.remote(_Actor).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            max_concurrency=2,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": variables},
        )
        self.leases: dict[Any, Lease] = {}  # reference of the result → lease
        self.asked: dict[Member, Any] = {}  # member → reference of its progress()
        self.heard: dict[Member, dict[str, Any]] = {}
        self.polled = 0.0
        self.crew = Crew(
            ray, partial(kind.remote, factory, gpus), live_nodes, size, Need(cpus, gpus), lease
        )

    @property
    def size(self) -> int:
        """How many workers to expect; where their number is open, not less than a few."""
        return self.asked_for or max(self.crew.wanted, FEW)

    def describe(self) -> Any:
        """See Pool."""
        while not self.crew.ever_built:
            self._look(1.0)
        return self.crew.description

    def free(self) -> int:
        """See Pool."""
        return len(self.crew.idle())

    def submit(self, item: Any) -> None:
        """See Pool."""
        member = self.crew.idle()[0]
        member.enter(State.BUSY)
        self.leases[member.actor.work.remote(item)] = Lease(member, item)

    def wait(self, timeout: float) -> list[Outcome]:
        """See Pool."""
        ready = self._look(timeout)
        return [self._outcome(reference) for reference in ready] + self._overdue()

    def _look(self, timeout: float) -> list[Any]:
        """Take in the workers that have started; return the references of finished leases."""
        self.crew.tend()
        references = [*self.crew.answers, *self.leases]
        if not references:
            time.sleep(timeout)
            return []
        ready, _ = self.ray.wait(references, num_returns=1, timeout=timeout)
        if ready:
            more, _ = self.ray.wait(references, num_returns=len(references), timeout=0)
            ready = more or ready
        for reference in [r for r in ready if r in self.crew.answers]:
            self.crew.answered(reference)
        return [reference for reference in ready if reference in self.leases]

    def _outcome(self, reference: Any) -> Outcome:
        lease = self.leases.pop(reference)
        try:
            done, self.heard[lease.worker] = self.crew.get(reference)
            self.asked.pop(lease.worker, None)  # what it answers may be older
            self.crew.back(lease.worker)
            return Outcome(lease.item, done)
        except (ShardError, JobError) as error:
            self.crew.back(lease.worker)
            return Outcome(lease.item, error=error)
        except self.ray.exceptions.RayError:
            return Outcome(lease.item, error=self._dismiss(lease.worker, "died"))
        except Exception as error:  # what the worker holds may be broken
            self.crew.dismiss(lease.worker)
            return Outcome(lease.item, error=error)

    def _overdue(self) -> list[Outcome]:
        """Take leases away from workers that show no progress."""
        late = [
            reference
            for reference, lease in self.leases.items()
            if lease.moved.still(self.heard.get(lease.worker)) > self.lease
        ]
        why = f"showed no progress for {self.lease:.0f} s and was ended"
        taken = [self.leases.pop(reference) for reference in late]
        return [Outcome(lease.item, error=self._dismiss(lease.worker, why)) for lease in taken]

    def _dismiss(self, member: Member, why: str) -> WorkerDied:
        self.crew.dismiss(member)
        about = member.about
        return WorkerDied(f"worker {about['pid']} on {about['host']} {why}", about["node"])

    def census(self) -> Counter[tuple[str, str]]:
        """See Pool."""
        return self.crew.census()

    def gone(self, node: str | None) -> bool:
        """See Pool."""
        return node not in {found.id for found in live_nodes() if not found.draining}

    def progress(self) -> list[dict[str, Any]]:
        """See Pool."""
        if time.monotonic() - self.polled > TICK:  # with many workers, leases end far more often
            self.polled = time.monotonic()
            self._poll()
        return [totals for totals in self.heard.values() if totals]

    def _poll(self) -> None:
        whose = {reference: member for member, reference in self.asked.items()}
        if whose:
            ready, _ = self.ray.wait(list(whose), num_returns=len(whose), timeout=0)
            for member in map(whose.__getitem__, ready):
                self._hear(member)
        for member in self.crew.members:
            if member.state not in STARTING and member not in self.asked:
                self.asked[member] = member.actor.progress.remote()

    def _hear(self, member: Member) -> None:
        try:
            self.heard[member] = self.ray.get(self.asked.pop(member))
        except Exception as error:  # what it did was heard before; of a lease, the outcome tells
            if isinstance(error, self.ray.exceptions.RayActorError) and member in self.crew.idle():
                self.crew.dismiss(member)

    def close(self) -> None:
        """See Pool."""
        self.crew.close()


class _Actor:
    """Builds its worker when told to, so that errors of building come back as results."""

    def __init__(self, factory: Callable[[], Worker], gpus: float) -> None:
        self.factory, self.gpus = factory, gpus
        self.worker: Any = None
        self.place: dict[str, str] = {}

    def here(self) -> dict[str, Any]:
        """Where it was placed."""
        import ray

        address = ray.util.get_node_ip_address()
        self.place = {"worker": f"{os.getpid()}@{address}", "node": address}
        node = ray.get_runtime_context().get_node_id()
        host = socket.gethostname()
        return {"pid": os.getpid(), "address": address, "host": host, "node": node}

    def build(self, cores: float) -> Any:
        """What the worker tells of itself; `cores` is its part of the node's, 0 if not known."""
        os.environ[CORES] = str(cores)
        if 0 < self.gpus < 1:
            limit_memory(self.gpus)
        self.worker = self.factory()
        return self.worker.describe()

    def work(self, item: Any) -> Any:
        """What came of the item, and the totals as of now: those heard otherwise may be older."""
        return self.worker.work(item), self.progress()

    def leave(self) -> None:
        """Its node is about to go: the worker may hand back what it has not begun."""
        self.worker.leaving = True

    def progress(self) -> dict[str, Any]:
        """Running totals; nothing before the worker is built."""
        return self.worker.progress() | self.place if self.worker else {}

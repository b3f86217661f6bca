"""`RayActors`: one Ray actor per worker; those that die, fail oddly or hang are replaced.

Ray does scheduling and placement; images and weights never travel through its object store. A
worker that dies is replaced by a new actor, which gets a lease only once it is built: with Ray's
own restarts, leases to an actor that is coming back fail at once and use up the item's attempts.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from pipelines.errors import Incomplete, JobError, ShardError
from pipelines.run.lease import LEASE, Lease
from pipelines.run.runner import Outcome, Worker, WorkerDied

PATIENCE = 60.0  # seconds until something is said about workers that do not start
STARTS = 5  # times that each worker may fail to start, with none succeeding between


class RayActors:
    """A pool of Ray actors."""

    def __init__(
        self,
        factory: Callable[[], Worker],
        size: int,
        cpus: float = 1,
        gpus: float = 0,
        lease: float = LEASE,
    ) -> None:
        import ray

        self.ray = ray
        self.size = size
        self.lease = lease
        self.factory = factory
        self.each = f"{cpus:g} CPUs and {gpus:g} GPUs"
        # With no GPU asked for, Ray leaves CUDA_VISIBLE_DEVICES alone: hide the GPUs ourselves.
        hidden = {} if gpus else {"runtime_env": {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}}
        self.kind: Any = ray.remote(_Actor).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_concurrency=2, **hidden
        )
        self.starting: dict[Any, Any] = {}  # reference of ready() → actor
        self.began: dict[Any, float] = {}  # actor → when it was asked for
        self.about: dict[Any, dict[str, Any]] = {}  # actor → pid, host, node, description
        self.idle: list[Any] = []
        self.leases: dict[Any, Lease] = {}  # reference of the result → lease
        self.asked: dict[Any, Any] = {}  # reference of progress() → actor
        self.heard: dict[Any, dict[str, Any]] = {}
        self.failed_starts = 0
        for _ in range(size):
            self._start()

    def _start(self) -> None:
        actor = self.kind.remote(self.factory)
        self.starting[actor.ready.remote()] = actor
        self.began[actor] = time.monotonic()

    def describe(self) -> Any:
        """See Pool."""
        asked = time.monotonic()
        while not self.about:
            self._look(1.0)
            self._stuck()
            if time.monotonic() - asked > PATIENCE:
                asked = time.monotonic()
                print(f"no worker has started; each needs {self.each}", flush=True)
        return next(iter(self.about.values()))["description"]

    def free(self) -> int:
        """See Pool."""
        return len(self.idle)

    def submit(self, item: Any) -> None:
        """See Pool."""
        actor = self.idle.pop(0)
        self.leases[actor.work.remote(item)] = Lease(actor, item)

    def wait(self, timeout: float) -> list[Outcome]:
        """See Pool."""
        ready = self._look(timeout)
        self._stuck()
        outcomes = [self._outcome(reference) for reference in ready]
        return outcomes + self._overdue()

    def _look(self, timeout: float) -> list[Any]:
        """Take in the workers that have started; return the references of finished leases."""
        references = [*self.starting, *self.leases]
        if not references:
            time.sleep(timeout)
            return []
        ready, _ = self.ray.wait(references, num_returns=1, timeout=timeout)
        if ready:
            more, _ = self.ray.wait(references, num_returns=len(references), timeout=0)
            ready = more or ready
        for reference in [r for r in ready if r in self.starting]:
            self._started(reference)
        return [reference for reference in ready if reference in self.leases]

    def _started(self, reference: Any) -> None:
        actor = self.starting.pop(reference)
        del self.began[actor]
        try:
            self.about[actor] = self._get(reference)
        except JobError:
            raise
        except Exception as error:
            self._failed_start(error)
            return
        self.failed_starts = 0
        self.idle.append(actor)

    def _stuck(self) -> None:
        """Give up workers that take longer to start than any may be silent."""
        for reference, actor in list(self.starting.items()):
            if time.monotonic() - self.began[actor] > max(self.lease, PATIENCE):
                del self.starting[reference], self.began[actor]
                with contextlib.suppress(self.ray.exceptions.RayError):
                    self.ray.kill(actor)
                print(f"a worker did not start; each needs {self.each}", flush=True)
                self._failed_start(TimeoutError("it did not start in time"))

    def _failed_start(self, error: Exception) -> None:
        self.failed_starts += 1
        if self.failed_starts >= STARTS * self.size:
            why = str(error).partition("\n")[0]
            raise Incomplete(
                f"{self.failed_starts} workers in a row failed to start, the last with: {why}; "
                "mend the cause and run the same command again"
            ) from error
        self._start()

    def _outcome(self, reference: Any) -> Outcome:
        lease = self.leases.pop(reference)
        try:
            done = self._get(reference)
        except (ShardError, JobError) as error:
            self.idle.append(lease.actor)
            return Outcome(lease.item, error=error)
        except self.ray.exceptions.RayError:
            return Outcome(lease.item, error=self._replace(lease.actor, "died"))
        except Exception as error:  # what the worker holds may be broken
            self._replace(lease.actor, "failed")
            return Outcome(lease.item, error=error)
        self.idle.append(lease.actor)
        return Outcome(lease.item, done)

    def _overdue(self) -> list[Outcome]:
        """Take leases away from workers that show no progress."""
        late = [
            reference
            for reference, lease in self.leases.items()
            if lease.moved.still(self.heard.get(lease.actor)) > self.lease
        ]
        why = f"showed no progress for {self.lease:.0f} s and was ended"
        taken = [self.leases.pop(reference) for reference in late]
        return [Outcome(lease.item, error=self._replace(lease.actor, why)) for lease in taken]

    def _replace(self, actor: Any, why: str) -> WorkerDied:
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.kill(actor)
        about = self.about.pop(actor)
        self._start()
        return WorkerDied(f"worker {about['pid']} on {about['host']} {why}", about["node"])

    def gone(self, node: str | None) -> bool:
        """See Pool."""
        return node not in {found["NodeID"] for found in self.ray.nodes() if found["Alive"]}

    def _get(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from None

    def progress(self) -> list[dict[str, Any]]:
        """See Pool."""
        if self.asked:
            ready, _ = self.ray.wait(list(self.asked), num_returns=len(self.asked), timeout=0)
            for reference in ready:
                actor = self.asked.pop(reference)
                with contextlib.suppress(Exception):  # it died; what it did was heard before
                    self.heard[actor] = self.ray.get(reference)
        waiting_for = set(self.asked.values())
        for actor in self.about:
            if actor not in waiting_for:
                self.asked[actor.progress.remote()] = actor
        return [totals for totals in self.heard.values() if totals]

    def close(self) -> None:
        """See Pool."""
        for actor in [*self.about, *self.starting.values()]:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.kill(actor)


class _Actor:
    """Builds its worker on first use, so that errors of building come back as results."""

    def __init__(self, factory: Callable[[], Worker]) -> None:
        self.factory = factory
        self.worker: Any = None

    def ready(self) -> dict[str, Any]:
        import ray

        self.worker = self.factory()
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "node": ray.get_runtime_context().get_node_id(),
            "description": self.worker.describe(),
        }

    def work(self, item: Any) -> Any:
        return self.worker.work(item)

    def progress(self) -> dict[str, Any]:
        return self.worker.progress() if self.worker else {}

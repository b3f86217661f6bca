"""Where workers run: `InProcess`, with no Ray at all, and `RayActors`, under one contract.

Ray does scheduling, placement and restarts; images and weights never travel through its object
store.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from pipelines.run.runner import Outcome, Worker


class InProcess:
    """One worker in this process, in a daemon thread so that progress can be watched."""

    size = 1

    def __init__(self, factory: Callable[[], Worker]) -> None:
        self.factory = factory
        self.worker: Any = None
        self.busy = False
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.outbox: queue.Queue[Outcome] = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while (item := self.inbox.get()) is not None:
            try:
                self.worker = self.worker or self.factory()
                self.outbox.put(Outcome(item, self.worker.work(item)))
            except Exception as error:
                self.outbox.put(Outcome(item, error=error))

    def describe(self) -> Any:
        """See Pool."""
        self.worker = self.worker or self.factory()
        return self.worker.describe()

    def free(self) -> int:
        """See Pool."""
        return 0 if self.busy else 1

    def submit(self, item: Any) -> None:
        """See Pool."""
        self.busy = True
        self.inbox.put(item)

    def wait(self, timeout: float) -> list[Outcome]:
        """See Pool."""
        try:
            outcome = self.outbox.get(timeout=timeout)
        except queue.Empty:
            return []
        self.busy = False
        return [outcome]

    def progress(self) -> list[dict[str, Any]]:
        """See Pool."""
        return [self.worker.progress()] if self.worker else []

    def close(self) -> None:
        """See Pool."""
        self.inbox.put(None)


class RayActors:
    """One Ray actor per worker; an actor that dies is restarted and its item leased again."""

    def __init__(
        self, factory: Callable[[], Worker], size: int, cpus: float = 1, gpus: float = 0
    ) -> None:
        import ray

        self.ray = ray
        self.size = size
        # With no GPU asked for, Ray leaves CUDA_VISIBLE_DEVICES alone: hide the GPUs ourselves.
        hidden = {} if gpus else {"runtime_env": {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}}
        actor = ray.remote(_Actor).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_concurrency=2, **hidden
        )
        self.actors: list[Any] = [actor.remote(factory) for _ in range(size)]
        self.idle = list(self.actors)
        self.leases: dict[Any, tuple[Any, Any]] = {}  # result reference → (actor, item)
        self.asked: dict[Any, Any] = {}  # progress reference → actor
        self.heard: dict[Any, dict[str, Any]] = {}

    def describe(self) -> Any:
        """See Pool."""
        return self._get(self.actors[0].describe.remote())

    def free(self) -> int:
        """See Pool."""
        return len(self.idle)

    def submit(self, item: Any) -> None:
        """See Pool."""
        actor = self.idle.pop()
        self.leases[actor.work.remote(item)] = (actor, item)

    def wait(self, timeout: float) -> list[Outcome]:
        """See Pool."""
        references = list(self.leases)
        ready, _ = self.ray.wait(references, num_returns=1, timeout=timeout)
        if ready:
            more, _ = self.ray.wait(references, num_returns=len(references), timeout=0)
            ready = more or ready
        return [self._outcome(reference) for reference in ready]

    def _outcome(self, reference: Any) -> Outcome:
        actor, item = self.leases.pop(reference)
        self.idle.append(actor)
        try:
            return Outcome(item, self._get(reference))
        except Exception as error:
            return Outcome(item, error=error)

    def _get(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def progress(self) -> list[dict[str, Any]]:
        """See Pool."""
        if self.asked:
            ready, _ = self.ray.wait(list(self.asked), num_returns=len(self.asked), timeout=0)
            for reference in ready:
                actor = self.asked.pop(reference)
                with contextlib.suppress(Exception):  # a worker that died is heard again later
                    self.heard[actor] = self.ray.get(reference)
        waiting_for = set(self.asked.values())
        for actor in self.actors:
            if actor not in waiting_for:
                self.asked[actor.progress.remote()] = actor
        return [totals for totals in self.heard.values() if totals]

    def close(self) -> None:
        """See Pool."""
        for actor in self.actors:
            self.ray.kill(actor)


class _Actor:
    """Builds its worker on first use, so that errors of building come back as results."""

    def __init__(self, factory: Callable[[], Worker]) -> None:
        self.factory = factory
        self.worker: Any = None
        self.building = threading.Lock()

    def _built(self) -> Any:
        with self.building:
            self.worker = self.worker or self.factory()
            return self.worker

    def describe(self) -> Any:
        return self._built().describe()

    def work(self, item: Any) -> Any:
        return self._built().work(item)

    def progress(self) -> dict[str, Any]:
        return self.worker.progress() if self.worker else {}

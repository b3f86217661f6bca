"""`InProcess`: one worker in this process, with no Ray at all; a pool like `RayActors`."""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from pipelines.errors import Incomplete, ShardError
from pipelines.run.lease import LEASE, Movement
from pipelines.run.runner import Outcome, Worker


class InProcess:
    """One worker in this process, in a daemon thread so that progress can be watched."""

    size = 1

    def __init__(self, factory: Callable[[], Worker], lease: float = LEASE) -> None:
        self.factory = factory
        self.lease = lease
        self.worker: Any = None
        self.item: Any = None
        self.moved = Movement()
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.outbox: queue.Queue[Outcome] = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while (item := self.inbox.get()) is not None:
            try:
                self.worker = self.worker or self.factory()
                self.outbox.put(Outcome(item, self.worker.work(item)))
            except Exception as error:
                if not isinstance(error, ShardError):
                    self.worker = None  # what it holds may be broken: build a new one
                self.outbox.put(Outcome(item, error=error))

    def describe(self) -> Any:
        """See Pool."""
        self.worker = self.worker or self.factory()
        return self.worker.describe()

    def free(self) -> int:
        """See Pool."""
        return 0 if self.item is not None else 1

    def submit(self, item: Any) -> None:
        """See Pool."""
        self.item = item
        self.moved = Movement()
        self.inbox.put(item)

    def wait(self, timeout: float) -> list[Outcome]:
        """See Pool; raises Incomplete if the worker hangs, as a thread cannot be ended."""
        try:
            outcome = self.outbox.get(timeout=timeout)
        except queue.Empty:
            if self.item is not None and self.moved.still(self.progress()) > self.lease:
                raise Incomplete(
                    f"no progress for {self.lease:.0f} s on {self.item}; what is committed stays: "
                    "run the same command again, without --in-process to have hangs ended"
                ) from None
            return []
        self.item = None
        return [outcome]

    def progress(self) -> list[dict[str, Any]]:
        """See Pool."""
        worker = self.worker  # the thread may set it to None meanwhile
        return [worker.progress()] if worker else []

    def census(self) -> Counter[tuple[str, str]]:
        """See Pool."""
        return Counter({("", "idle" if self.item is None else "busy"): 1})

    def gone(self, node: str | None) -> bool:
        """See Pool."""
        return False

    def close(self) -> None:
        """See Pool."""
        self.inbox.put(None)

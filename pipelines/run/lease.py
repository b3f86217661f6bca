"""A lease: an item in a worker's hands, for as long as the worker shows progress."""

import time
from dataclasses import dataclass, field
from typing import Any

LEASE = 600.0  # seconds without any progress after which a lease is taken away


@dataclass
class Movement:
    """When a worker's totals last changed."""

    seen: Any = None
    since: float = field(default_factory=time.monotonic)

    def still(self, totals: Any) -> float:
        """Seconds since the totals changed."""
        if totals != self.seen:
            self.seen, self.since = totals, time.monotonic()
        return time.monotonic() - self.since


@dataclass
class Lease:
    """An item in the hands of a worker."""

    worker: Any
    item: Any
    moved: Movement = field(default_factory=Movement)

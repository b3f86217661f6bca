"""The items of a run that wait for a lease: what comes back first, then new ones, then retries."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import length_hint
from typing import Any


@dataclass
class Waiting:
    """New items are taken from their source one at a time, when a worker is there for them.

    So a source may cut its items to the number of workers, and nothing here grows with it. What was
    taken from a worker that died goes first, as it may be large; what failed by itself goes last,
    so that what it failed for may pass.
    """

    source: Iterator[Any]
    back: deque[Any] = field(default_factory=deque)
    later: deque[tuple[float, Any]] = field(default_factory=deque)
    """(not before, item)"""

    def any(self) -> bool:
        """Is there anything left? Puts a new item in hand where that is what it takes to know."""
        if not self.back:
            self.back.extend(islice(self.source, 1))
        return bool(self.back or self.later)

    def again(self, item: Any) -> None:
        """As soon as there is a worker."""
        self.back.append(item)

    def retry(self, item: Any, delay: float) -> None:
        """After `delay` seconds, and after what has not been tried at all."""
        self.later.append((time.monotonic() + delay, item))

    def take(self) -> Any | None:
        """The item to be leased now, if there is one."""
        if self.back:
            return self.back.popleft()
        for item in self.source:  # one of them
            return item
        now = time.monotonic()
        for index, (moment, item) in enumerate(self.later):
            if moment <= now:
                del self.later[index]
                return item
        return None

    def __len__(self) -> int:
        """How many wait; of a source that does not know its length, none."""
        return len(self.back) + len(self.later) + length_hint(self.source)

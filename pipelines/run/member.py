"""One actor of a job, and where it stands between the request for it and its end."""

import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class State(Enum):
    """In this order, but that IDLE and BUSY take turns; what has ended is no member any more."""

    ASKED = auto()
    """Requested; no node has room for it yet."""
    PLACED = auto()
    """On a node, and waiting for its turn to build."""
    BUILDING = auto()
    IDLE = auto()
    BUSY = auto()
    """It has a lease."""
    LEAVING = auto()
    """The same, and it was told that its node is about to go: this lease is its last."""


STARTING = (State.ASKED, State.PLACED, State.BUILDING)


@dataclass(eq=False)
class Member:
    """An actor; `since` is when it entered its state."""

    actor: Any
    state: State = State.ASKED
    since: float = field(default_factory=time.monotonic)
    about: dict[str, Any] = field(default_factory=dict)
    """pid, host, node and its address, once it is placed."""

    def enter(self, state: State) -> None:
        """Go into another state, now."""
        self.state, self.since = state, time.monotonic()

    def age(self) -> float:
        """Seconds in its present state."""
        return time.monotonic() - self.since

    @property
    def said(self) -> str:
        """busy, idle or starting, as the metrics have it."""
        if self.state in STARTING:
            return "starting"
        return "idle" if self.state is State.IDLE else "busy"

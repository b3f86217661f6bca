"""What is asked of a Jobs server, and what it says of a job."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED", "LOST"]
ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "LOST")
OURS = (0, 1, 2, 3, 4)  # exit codes of nhd
UNPREPARED = re.compile(
    r"^(?:.*Error while finding module specification.*\()?"
    r"(?:(?:ModuleNotFound|Import|Syntax)Error): (.*?)\)?$",
    re.MULTILINE,
)
"""How Python ends with 1, which would be nhd's "a threshold was crossed", where it cannot start."""


@dataclass(frozen=True)
class Driver:
    """What the node must have that the command itself runs on, besides what its workers take."""

    cpus: float = 0
    gpus: float = 0
    memory: int = 0
    """Bytes."""
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One job, as it is submitted."""

    id: str
    entrypoint: str
    """A line for the shell of a node."""
    driver: Driver = Driver()
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of the command and its workers. Whoever sees Ray's dashboard sees it."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Relative path → content: what the folder holds that the command starts in."""
    code: bytes | None = None
    """nhd as a wheel; None where the nodes have it."""


@dataclass(frozen=True)
class Job:
    """What the server says of a job; LOST is a job that it knew and knows no more."""

    id: str
    state: State
    entrypoint: str = ""
    message: str = ""
    code: int | None = None
    """What the command exited with; None while it runs, and where it never came to that."""
    started: float | None = None
    ended: float | None = None
    """Both in seconds since the epoch."""
    node: str | None = None
    """Ray's id of the node that the command runs on."""

    @property
    def over(self) -> bool:
        """Has it ended, one way or another?"""
        return self.state in ENDED

    @property
    def died(self) -> bool:
        """Has it ended without having its say, such as with its node?"""
        return self.state == "LOST" or (self.state == "FAILED" and self.code not in OURS)

    @property
    def unprepared(self) -> str:
        """What the node's Python lacks, if the command could not even start for that; else ""."""
        found = UNPREPARED.findall(self.message) if self.code == 1 else []
        return found[-1] if found else ""

    @property
    def exit_code(self) -> int:
        """The command's own; 3 for one that died or was stopped, 2 on nodes that are no use."""
        if self.unprepared or self.code in (126, 127):
            return 2
        if self.state == "SUCCEEDED":
            return 0
        return self.code if self.code in OURS and self.code else 3

"""The audit as a Ray job, from the submitter's side: its output with times, and its exit code."""

import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path


class Submission:
    """A submitted command; its output goes to a file, and each line is kept with its second."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self.log = log
        self.process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.log.open("w") as log:
            for line in self.process.stdout:
                second = time.monotonic() - self.began
                self.lines.append((second, line.rstrip()))
                print(f"{second:6.1f}  {line}", end="", file=log, flush=True)

    def says(self, text: str) -> list[tuple[float, str]]:
        """The lines so far that hold `text`."""
        return [(second, line) for second, line in list(self.lines) if text in line]

    @property
    def over(self) -> bool:
        """Has it ended?"""
        return self.process.poll() is not None

    def wait(self, timeout: float) -> int:
        """Its exit code; raises subprocess.TimeoutExpired."""
        code = self.process.wait(timeout)
        self.reader.join(5)
        return code

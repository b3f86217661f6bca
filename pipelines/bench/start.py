"""How long the command takes to say what it can do."""

import subprocess
import sys
from functools import partial

from pipelines.bench.paired import interleaved, quartiles
from pipelines.bench.result import Result

PROMISED = 0.5  # seconds


def measure(folder: str, seed: int) -> list[Result]:
    """Seconds of `nhd --help`, beside those of a Python that does nothing."""
    commands = {
        "nhd --help": [sys.executable, "-m", "jobs.cli", "--help"],
        "an empty Python": [sys.executable, "-c", ""],
    }
    times = interleaved({name: partial(_run, command) for name, command in commands.items()})
    low, ours, high = quartiles(times["nhd --help"])
    theirs = quartiles(times["an empty Python"])[1]
    return [
        Result("nhd --help", ours, "s", theirs, "s of an empty Python", None, low, high, PROMISED)
    ]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

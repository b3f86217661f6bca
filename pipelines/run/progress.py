"""Progress of an extraction: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from typing import Any

from tqdm import tqdm

LINE_EVERY = 5.0  # seconds
PHASES = ("read", "decode", "forward", "write")


class Progress:
    """Shows shards done of how many, images/s, ETA, rejects, and the share of time by phase."""

    def __init__(self, shards: int, unit: str = "shard") -> None:
        self.shards, self.unit = shards, unit
        self.told: set[str] = set()
        self.start = self.last = time.monotonic()
        terminal = sys.stderr.isatty()
        self.bar = tqdm(total=shards, unit=unit, disable=not terminal, leave=False)
        self.terminal = terminal

    def update(self, done: int, failed: int, workers: list[dict[str, Any]]) -> None:
        """Show the totals, if it is time."""
        for note in {n for worker in workers for n in worker["notes"]} - self.told:
            self.told.add(note)
            self.say(note)
        now = time.monotonic()
        text = line(done, self.shards, failed, workers, now - self.start, self.unit)
        if self.terminal:
            self.bar.n = done
            self.bar.set_postfix_str(text, refresh=True)
        elif now - self.last >= LINE_EVERY:
            self.last = now
            print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()


def line(
    done: int,
    shards: int,
    failed: int,
    workers: list[dict[str, Any]],
    seconds: float,
    unit: str = "shard",
) -> str:
    """One line of progress; images are those read so far, finished shards or not."""
    images = sum(worker["images"] for worker in workers)
    rejects = sum(worker["rejects"] for worker in workers)
    rate = images / seconds if seconds else 0.0
    parts = [f"{done}/{shards} {unit}s", f"{images} images", f"{rate:.0f} images/s"]
    if 0 < done < shards:
        parts.append(f"ETA {_duration((shards - done) * seconds / done)}")
    parts.append(f"{rejects} rejected")
    if failed:
        parts.append(f"{failed} {unit}s failed")
    return ", ".join(parts) + "; " + shares(workers)


def shares(workers: list[dict[str, Any]]) -> str:
    """The share of the workers' busy time by phase; read and decode overlap with forward."""
    totals = {phase: sum(w["seconds"][phase] for w in workers) for phase in PHASES}
    whole = sum(totals.values()) or 1.0
    return " ".join(f"{phase} {100 * spent / whole:.0f}%" for phase, spent in totals.items())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"

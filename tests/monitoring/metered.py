"""A job whose workers say what they are told to, watched and exported; run as a process of its own.

Ray sends a driver's last numbers when it ends, so that nobody has to wait for its ten seconds.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import ShardError
from pipelines.io.options import passed_on
from pipelines.run import log
from pipelines.run.actors import RayActors
from pipelines.run.cluster import ray_session
from pipelines.run.identity import Job
from pipelines.run.runner import Done, Summary, run
from pipelines.run.watched import Watch

JOB = Job("weekly-0123abcd", "extract")
GOOD, BAD, DEADLY = 6, 1, 1
SECONDS = {"read": 0.25, "decode": 0.5, "wait": 0.125, "forward": 2.0, "write": 1.0}


class Counting:
    """Each item has ten images, two of them rejects; one cannot be read, one kills, once."""

    def __init__(self, folder: str) -> None:
        self.folder, self.done = folder, 0

    def describe(self) -> None:
        """Nothing."""

    def progress(self) -> dict[str, Any]:
        """As an Extractor's."""
        return {
            "images": 10 * self.done,
            "rejects": 2 * self.done,
            "reasons": {"empty_image": self.done, "undecodable_image": self.done},
            "bytes": 1000 * self.done,
            "seconds": {phase: seconds * self.done for phase, seconds in SECONDS.items()},
            "notes": [],
        }

    def work(self, item: str) -> Done:
        """One item."""
        with log.shard(item) as counts:
            if item == "bad":
                raise ShardError("it cannot be read")
            if item == "deadly" and not (marker := Path(self.folder, "killed")).exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            self.done += 1
            counts["read"] = 10
        return Done(item)


def main(folder: str) -> None:
    """Run the job on the cluster of RAY_ADDRESS."""
    items = [*(f"good-{i}" for i in range(GOOD)), "bad", "deadly"]
    with ray_session():
        build = JOB.worker(partial(Counting, folder))
        pool = RayActors(build, 1, cpus=0.1, environment=passed_on())
        watch = Watch(JOB, len(items))

        def tick(summary: Summary, totals: list[dict[str, Any]]) -> None:
            watch.update(summary, summary.done, totals)

        run(pool, items, lambda _: None, on_tick=tick, say=watch.say)
        watch.close()
        pool.close()


if __name__ == "__main__":
    main(sys.argv[1])

"""A run of slow items on the cluster of RAY_ADDRESS, for a test that drains one of its nodes."""

import json
import time
from typing import Any

from pipelines.run.actors import RayActors
from pipelines.run.cluster import ray_session
from pipelines.run.runner import Done, Summary, run

ITEMS, PARTS, SECONDS = 8, 20, 0.3


class Slow:
    """A worker that does an item part by part, and hands back the rest where its node goes."""

    leaving = False
    done = 0

    def describe(self) -> None:
        """Nothing to tell."""

    def progress(self) -> dict[str, int]:
        """Parts done."""
        return {"done": self.done}

    def work(self, item: tuple[int, ...]) -> Done:
        """The parts that were done, and those left."""
        for index in range(len(item)):
            if self.leaving and index:
                return Done(item[:index], (), (item[index:],))
            time.sleep(SECONDS)
            self.done += 1
        return Done(item)


def main() -> None:
    """Run; say when both workers are at work; print what came of it."""
    kept: list[int] = []
    told: list[str] = []

    def tick(summary: Summary, totals: list[dict[str, Any]]) -> None:
        busy = sum(n for (_, state), n in summary.workers.items() if state == "busy")
        if busy == 2 and not told:
            told.append("two at work")
            print(told[0], flush=True)

    items = [tuple(range(i * PARTS, (i + 1) * PARTS)) for i in range(ITEMS)]
    with ray_session():
        pool = RayActors(Slow)
        pool.describe()
        found = run(pool, items, kept.extend, on_tick=tick)
        pool.close()
    seen = {"kept": kept, "died": found.died, "handed_back": found.done > ITEMS}
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()

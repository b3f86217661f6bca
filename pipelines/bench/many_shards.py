"""The driver with very many shards: its CPU time and its memory, with a worker that does nothing.

Run as `python -m pipelines.bench.many_shards SHARDS OUT`; prints, as JSON, the CPU seconds of the
whole process and the growth of its memory, in MB, from before the shards were listed.
"""

import json
import os
import sys
import time
from typing import Any

from pipelines.bench.child import peak
from pipelines.bench.empty_extraction import UNITS
from pipelines.extract.settings import Group
from pipelines.extract.work import COUNTS, Work
from pipelines.io.store import Run
from pipelines.io.urls import Fingerprint
from pipelines.run import lock
from pipelines.run.identity import job_in, new_id
from pipelines.run.in_process import InProcess
from pipelines.run.progress import PHASES
from pipelines.run.runner import Done

SOURCE: Fingerprint = {"size": 100_000_000, "version": "0123456789abcdef"}


class Idle:
    """A worker whose shards have no images."""

    def describe(self) -> dict[str, Any]:
        """What the driver asks for."""
        return {"units": UNITS}

    def progress(self) -> dict[str, Any]:
        """As an Extractor would."""
        seconds = dict.fromkeys(PHASES, 0.0)
        return {"images": 0, "rejects": 0, "seconds": seconds, "notes": []}

    def work(self, group: Group) -> Done:
        """The records of a group."""
        members = [shard for shard, _ in group.shards]
        alike: dict[str, Any] = {"source": SOURCE, "moments": None, "group": members}
        alike |= {"seconds": dict.fromkeys(PHASES, 0.0), "batch_size": 32}
        alike |= dict.fromkeys(COUNTS, 0)
        return Done([{"shard": shard, "url": url, **alike} for shard, url in group.shards])


def measure(shards: int, out: str) -> dict[str, float]:
    """CPU seconds and MB of the driver of so many shards."""
    start, before = time.process_time(), _peak()
    urls = [f"s3://bucket/folder/of/shards/{index:08d}.tar" for index in range(shards)]
    sources: dict[str, Fingerprint | None] = dict.fromkeys(urls, SOURCE)
    target = Run(out)
    with lock.held(target, print) as held:
        work = Work(target, held, lambda text: None, job_in(target, "extract", new_id(target)))
        work.prepare({"units": UNITS}, urls)
        pool = InProcess(Idle)
        failed = work.run(pool, sources, UNITS)
        pool.close()
        done = work.close(failed, [], shards)
    assert done["read"] == 0 and len(work.done) == shards
    return {"cpu_seconds": time.process_time() - start, "megabytes": _peak() - before}


def _peak() -> float:
    return peak(os.getpid()) / 1e6


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), sys.argv[2])))

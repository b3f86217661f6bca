"""How much more memory an extraction takes for ten times as many images: none."""

import os
import subprocess
import time
from pathlib import Path

from pipelines.bench.child import peak
from pipelines.bench.nodes import descendants, extraction, kill, private_environment
from pipelines.bench.result import Result
from pipelines.errors import Incomplete
from pipelines.tiny.dataset import write_scenes

PER_SHARD = 100
PROMISED = 1.05
EVERY = 0.2  # seconds between looks
LIMIT = 3600.0  # seconds that one extraction may take


def measure(folder: str, seed: int) -> list[Result]:
    """See `memory`."""
    return memory(folder)


def memory(folder: str, images: int = 2000, times: int = 10) -> list[Result]:
    """The largest resident memory of the driver and of its worker, on `images` scenes and on
    `times` as many, on a Ray of their own.

    Raises Incomplete if an extraction fails.
    """
    urls = write_scenes(f"{folder}/once", images, seed=0, per_shard=PER_SHARD)
    more = Path(folder, "more")
    more.mkdir()
    for copy in range(times):
        for url in urls:
            os.link(url, more / f"{copy:03d}-{Path(url).name}")
    once = _peaks(f"{folder}/once/*.tar", f"{folder}/run-once")
    many = _peaks(f"{more}/*.tar", f"{folder}/run-more")
    return [
        Result(
            name=f"{who}: memory on {times * images} images against {images}",
            ours=round(many[who] / 2**20, 1),
            unit="MiB",
            theirs=round(once[who] / 2**20, 1),
            against="MiB",
            ratio=many[who] / once[who],
            most=PROMISED,
        )
        for who in once
    ]


def _peaks(pattern: str, out: str) -> dict[str, int]:
    """The most bytes that were ever resident, by process."""
    peaks = {"driver": 0, "worker": 0}
    with open(f"{out}.log", "wb") as log:
        driver = subprocess.Popen(
            [*extraction(pattern, out), "--workers", "1"],
            env=private_environment(),
            stdout=log,
            stderr=log,
        )
        deadline = time.monotonic() + LIMIT
        while driver.poll() is None:
            peaks["driver"] = max(peaks["driver"], peak(driver.pid))
            for pid in descendants(driver.pid, "ray::_Actor"):
                peaks["worker"] = max(peaks["worker"], peak(pid))
            if time.monotonic() > deadline:
                kill(driver.pid)
            time.sleep(EVERY)
    if driver.returncode:
        raise Incomplete(f"nhd extract ended with {driver.returncode}; see {out}.log")
    return peaks

"""What `nhd compare` takes on RN50x16, in which all 147,456 pairs are compared."""

import sys

from pipelines.analyse.attribution import Criteria
from pipelines.analyse.compare import ComparePlan, load
from pipelines.analyse.pair_shifts import pair_shifts
from pipelines.bench.child import cost
from pipelines.bench.result import Result
from pipelines.bench.runs import write_run

IMAGES = 20_000
"""On each side: as many as the domain classifier takes at most. Only concepts, which are told
apart on up to 50,000, would take longer with more images; pairs take as long with any number."""
SECONDS = 60.0
PEAK = 4.0  # GB
EVIDENTLY = 6 * 3600.0
"""Seconds for 1,000 columns of 3.3 million rows, as reported in evidentlyai/evidently#1526."""


def measure(folder: str, seed: int) -> list[Result]:
    """See `comparing`."""
    return comparing(folder, seed)


def comparing(folder: str, seed: int, images: int = IMAGES) -> list[Result]:
    """`nhd compare` on two runs, the second with a shift; and reading both and comparing pairs
    alone. Each in a process of its own.
    """
    one = write_run(f"{folder}/baseline", images, seed, weights="none")
    other = write_run(f"{folder}/current", images, seed + 1, weights="none", shift=0.3)
    pairs = cost(["-m", __name__, one, other], f"{folder}/pairs.log")
    arguments = ["--baseline", one, "--current", other, "--out", f"{folder}/report"]
    whole = cost(["-m", "jobs.cli", "compare", *arguments], f"{folder}/command.log")
    against = "s, Evidently, 1,000 columns of 3.3 M rows (its issue 1526)"
    return [
        Result("compare: 147,456 pairs", pairs.seconds, "s", EVIDENTLY, against, most=SECONDS),
        Result("compare: peak memory of it", pairs.peak / 1e9, "GB", most=PEAK),
        Result("compare: the command", whole.seconds, "s", most=SECONDS),
        Result("compare: peak memory of the command", whole.peak / 1e9, "GB", most=PEAK),
    ]


def alone(baseline: str, current: str) -> None:
    """Read both sides and compare their pairs."""
    plan = ComparePlan(out="", baseline=baseline, current=current)
    pair_shifts(load(plan), Criteria(plan.alpha, plan.floor))


if __name__ == "__main__":
    alone(sys.argv[1], sys.argv[2])

"""Paired timing: contenders take turns in one process, so that a slow moment hits all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.bench.result import Result

REPEATS = 7
Times = Mapping[str, list[float]]


def interleaved(
    contenders: Mapping[str, Callable[[], Any]],
    repeats: int = REPEATS,
    wait: Callable[[], Any] = lambda: None,
) -> Times:
    """Seconds of every repetition of each contender, after one run of each that does not count.

    The order of a round is that of the round before, turned by one. `wait` is called before each
    reading of the clock: on a GPU, torch.cuda.synchronize.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    order = list(contenders)
    for _ in range(repeats):
        for name in order:
            wait()
            start = time.perf_counter()
            contenders[name]()
            wait()
            times[name].append(time.perf_counter() - start)
        order = [*order[1:], order[0]]
    return times


def speed(
    name: str,
    times: Times,
    ours: str,
    theirs: str,
    each: float = 1,
    unit: str = "per s",
    least: float | None = None,
) -> Result:
    """How many times as fast as another contender: the median over the rounds.

    `each` is how many units one repetition does.
    """
    ratios = [b / a for a, b in zip(times[ours], times[theirs], strict=True)]
    low, ratio, high = quartiles(ratios)
    return Result(
        name=name,
        ours=each / statistics.median(times[ours]),
        unit=unit,
        theirs=each / statistics.median(times[theirs]),
        against=f"of {theirs}",
        ratio=ratio,
        low=low,
        high=high,
        least=least,
    )


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high

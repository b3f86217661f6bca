"""How long work will take, said before it is done."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Found = TypeVar("Found")


def timed(run: Callable[[], Found], threads: int | None = None) -> tuple[Found, float]:
    """What it returns, and its seconds; on so many threads of torch if that is said."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    start = time.perf_counter()
    try:
        return run(), time.perf_counter() - start
    finally:
        torch.set_num_threads(before)


def seconds(sizes: Sequence[int], each: float, workers: int) -> float:
    """Of blocks of these sizes at `each` seconds a unit, as many at once as there are workers."""
    if not sizes:
        return 0.0
    return each * min(sum(sizes), max(sizes) * math.ceil(len(sizes) / workers))


def about(seconds: float) -> str:
    """For people: "about 41 minutes"."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"about {seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"about {math.ceil(seconds)} s"

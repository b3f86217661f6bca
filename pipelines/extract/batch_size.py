"""How many images per forward pass: fixed on a CPU, found by a short probe on a GPU."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch

ON_CPU = 32  # so that results do not depend on how busy the machine was
ON_GPU = 128  # where nothing is probed
TRIED = (32, 64, 128, 256, 512)
WORTH = 1.05  # a larger batch must be this much faster, since it also takes more memory


def probed(seconds: Callable[[int], float], sizes: Iterable[int] = TRIED) -> int:
    """The first size after which twice as many images at once are no longer worth it.

    `seconds` measures one batch. Sizes that do not fit into memory are not chosen; if none fits,
    the smallest is, for extraction to halve.
    """
    sizes = list(sizes)
    best, rate = sizes[0], 0.0
    for size in sizes:
        try:
            found = size / seconds(size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        if found < WORTH * rate:
            break
        best, rate = size, found
    return best


def timed(run: Callable[[int], Any], wait: Callable[[], Any]) -> Callable[[int], float]:
    """Seconds of the second `run` of a size; the first also compiles, loads and allocates."""

    def seconds(size: int) -> float:
        run(size)
        wait()
        start = time.perf_counter()
        run(size)
        wait()
        return time.perf_counter() - start

    return seconds


def is_out_of_memory(error: Exception) -> bool:
    """Torch says so with a class of its own on GPUs, and in words on CPUs."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)

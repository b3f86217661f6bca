"""The decomposition on an NVIDIA GPU: against encode_image, and against the card's own limit."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from pipelines.bench.compute import Setup, contenders
from pipelines.bench.paired import Times, interleaved, speed
from pipelines.bench.result import Result
from pipelines.errors import UsageError
from pipelines.models import DTYPES

SETUP = Setup("RN50x16", "bfloat16", "cuda", batch=256, batches=4)
GFLOP = 149.4  # per image of RN50x16 at 384 pixels, multiplications and additions
SHARE = 0.4  # of the card's matrix rate
ROUNDS = 7
SIDE, PRODUCTS = 8192, 20


def measure(folder: str, seed: int) -> list[Result]:
    """RN50x16 in bfloat16 and float16; UsageError without a GPU."""
    if not torch.cuda.is_available():
        raise UsageError("nhd bench gpu needs an NVIDIA GPU that torch can see")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    dtypes = ("bfloat16", "float16")
    return [row for dtype in dtypes for row in on_device(replace(SETUP, dtype=dtype), seed)]


def on_device(setup: Setup, seed: int, compiled: bool = True, side: int = SIDE) -> list[Result]:
    """One precision; `setup.device` may be a CPU, for tests."""
    wait = torch.cuda.synchronize if setup.device.startswith("cuda") else _nothing
    ways = contenders(setup, seed)
    if compiled:
        ways |= _compiled(setup, seed)
    times = interleaved(ways, ROUNDS, wait)
    images = setup.batch * setup.batches
    name = f"gpu: {setup.model}, {setup.dtype}, batches of {setup.batch}"
    rows = [
        speed(name, times, "decomposition", other, images, "images/s", least=1.0)
        for other in ways
        if other != "decomposition"
    ]
    return [*rows, _absolute(name, times, images, matrix_rate(setup, wait, side))]


def _compiled(setup: Setup, seed: int) -> dict[str, Callable[[], Any]]:
    way: Any = contenders(setup, seed)["encode_image, channels last"]
    visual, pixels, batches = way.args
    fast = torch.compile(visual, mode="max-autotune-no-cudagraphs")
    return {"encode_image, compiled": lambda: way.func(fast, pixels, batches)}


def _absolute(name: str, times: Times, images: int, rate: float) -> Result:
    """Images per second against what the arithmetic allows."""
    limit = rate / (GFLOP * 1e9)
    ours = images / statistics.median(times["decomposition"])
    return Result(
        name=f"{name}, absolute",
        ours=ours,
        unit="images/s",
        theirs=limit,
        against=f"at {rate / 1e12:.0f} TFLOP/s",
        ratio=ours / limit,
        least=SHARE,
    )


def matrix_rate(setup: Setup, wait: Callable[[], Any], side: int) -> float:
    """Multiplications and additions per second in square products of the precision, measured."""
    a = torch.randn(side, side, device=setup.device).to(DTYPES[setup.dtype])
    a @ a
    wait()
    start = time.perf_counter()
    for _ in range(PRODUCTS):
        a @ a
    wait()
    return 2 * side**3 * PRODUCTS / (time.perf_counter() - start)


def _nothing() -> None:
    pass

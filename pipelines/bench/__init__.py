"""Measurements that users can repeat: `nhd bench`."""

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from pipelines.bench.result import Result, table
from pipelines.errors import UsageError
from pipelines.io.files import write_json

MEASURES = {
    "start": "start",
    "decode": "decode",
    "compute": "compute",
    "pipeline": "pipeline",
    "storage": "storage",
    "schedule": "schedule",
    "scale": "scale",
    "gpu": "gpu",
    "faults": "faults",
    "memory": "memory",
    "omp": "omp",
    "fit": "fit",
    "compare": "compare",
    "concepts": "concepts",
    "query": "query",
}
"""What can be measured → the module here whose `measure(folder, seed)` does it."""


def bench(what: Iterable[str], out: str | None, json: str | None, seed: int) -> list[Result]:
    """Measure each of `what`, print a table at the end, and write all results to `json`.

    Works in the new folder `out`, or in a temporary one. Raises UsageError where that is not
    possible, Incomplete if something that is measured fails.
    """
    if sys.platform != "linux":
        raise UsageError("nhd bench reads /proc and runs on Linux only")
    if out is not None and os.path.isdir(out) and os.listdir(out):
        raise UsageError(f"{out} is not empty")
    found: list[Result] = []
    with ExitStack() as stack:
        folder = out
        if folder is None:
            folder = tempfile.mkdtemp(prefix="nhd-bench-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in dict.fromkeys(what):
            place = os.path.join(os.path.abspath(folder), name)
            os.makedirs(place)
            print(f"measuring: {name}", flush=True)
            found += _measure(name)(place, seed)
    print("\n".join(table(found)), flush=True)
    if json is not None:
        write_json(json, [result.row() for result in found])
    return found


def _measure(name: str) -> Callable[[str, int], list[Result]]:
    module = importlib.import_module(f"pipelines.bench.{MEASURES[name]}")
    measure: Callable[[str, int], list[Result]] = module.measure
    return measure

"""Measurements that users can repeat: `nhd bench`."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict

from pipelines.bench.result import Result
from pipelines.errors import UsageError
from pipelines.io.files import write_json


def bench(what: Iterable[str], out: str | None, json: str | None, seed: int) -> list[Result]:
    """Measure each of `what`, print it, and write all results to `json`.

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
            found += MEASURES[name](place, seed)
    if json is not None:
        write_json(json, [asdict(result) for result in found])
    return found


def _faults(folder: str, seed: int) -> list[Result]:
    from pipelines.bench.faults import soak

    done = soak(folder, seed=seed)
    print("\n".join(done.lines()), flush=True)
    return done.results()


def _memory(folder: str, seed: int) -> list[Result]:
    from pipelines.bench.memory import memory

    results = memory(folder)
    print("\n".join(result.line() for result in results), flush=True)
    return results


MEASURES: dict[str, Callable[[str, int], list[Result]]] = {"faults": _faults, "memory": _memory}

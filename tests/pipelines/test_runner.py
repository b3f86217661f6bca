"""The contract of every pool: each item done once, retried, split, quarantined, never lost."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ShardError, UsageError
from pipelines.run.pools import InProcess, RayActors
from pipelines.run.runner import Pool, run

MakePool = Callable[[Callable[[], Any]], Pool]


class Scripted:
    """A worker whose items say what happens; keeps count in a folder that all workers share."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.done = 0

    def describe(self) -> str:
        return "described"

    def progress(self) -> dict[str, int]:
        return {"done": self.done}

    def work(self, item: tuple[str, ...]) -> tuple[str, ...]:
        for name in item:
            kind = name.split("-")[0]
            tries = len(list(Path(self.folder).glob(f"{name}.*")))
            (Path(self.folder) / f"{name}.{time.monotonic_ns()}").touch()
            if kind == "bad" or (kind == "flaky" and tries < 2):
                raise ShardError(f"{name} cannot be done")
            if kind == "fatal":
                raise UsageError("the whole job is wrong")
            if kind == "deadly" and tries < 1:
                os._exit(1)
        self.done += 1
        return item


@pytest.fixture(params=["in_process", pytest.param("ray", marks=pytest.mark.cluster)])
def make_pool(request: pytest.FixtureRequest) -> MakePool:
    if request.param == "in_process":
        return InProcess
    request.getfixturevalue("ray")
    return partial(RayActors, size=2, cpus=0.5)


def attempts(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}.*")))


def test_every_item_is_done_exactly_once(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    assert pool.describe() == "described"
    items = [(f"good-{i}",) for i in range(20)]
    summary = run(pool, items)
    assert sorted(summary.results) == sorted(items) and not summary.failed
    assert all(attempts(tmp_path, name) == 1 for (name,) in items)
    pool.close()


def test_flaky_items_are_retried_and_bad_ones_quarantined(
    make_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    summary = run(pool, [("bad-1",), ("good-1",), ("flaky-1",)])
    assert sorted(summary.results) == [("flaky-1",), ("good-1",)]
    ((item, error),) = summary.failed
    assert item == ("bad-1",) and "cannot be done" in str(error)
    assert attempts(tmp_path, "bad-1") == attempts(tmp_path, "flaky-1") == 3
    pool.close()


def test_a_failed_group_goes_on_in_parts(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    group = ("good-1", "bad-1", "good-2")
    summary = run(pool, [group], split=lambda item: [(name,) for name in item])
    assert sorted(summary.results) == [("good-1",), ("good-2",)]
    assert [item for item, _ in summary.failed] == [("bad-1",)]
    pool.close()


def test_an_error_of_the_whole_job_ends_it(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    with pytest.raises(UsageError, match="whole job is wrong"):
        run(pool, [("fatal-1",)])
    pool.close()


@pytest.mark.cluster
def test_a_worker_that_dies_is_replaced_and_its_item_redone(ray: object, tmp_path: Path) -> None:
    pool = RayActors(partial(Scripted, str(tmp_path)), size=2, cpus=0.5)
    items = [("deadly-1",), ("deadly-2",), *((f"good-{i}",) for i in range(6))]
    summary = run(pool, items)
    assert sorted(summary.results) == sorted(items) and not summary.failed
    assert attempts(tmp_path, "deadly-1") == 2
    pool.close()

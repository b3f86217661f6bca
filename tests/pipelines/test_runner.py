"""The contract of every pool: each item settled once, retried, split, quarantined, never lost."""

import os
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import Incomplete, ShardError, UsageError
from pipelines.run.actors import RayActors
from pipelines.run.in_process import InProcess
from pipelines.run.runner import ATTEMPTS, DEATHS, Done, Pool, run

MakePool = Callable[..., Pool]
Item = tuple[str, ...]


class Scripted:
    """A worker whose items say what happens; keeps count in a folder that all workers share."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.done = 0

    def describe(self) -> str:
        return "described"

    def progress(self) -> dict[str, int]:
        return {"done": self.done}

    def work(self, item: Item) -> Done:
        good, failed = [], []
        for name in item:
            kind = name.split("-")[0]
            tries = len(list(Path(self.folder).glob(f"{name}.*")))
            (Path(self.folder) / f"{name}.{time.monotonic_ns()}").touch()
            if kind == "bad" or (kind == "flaky" and tries < 2):
                failed.append(((name,), ShardError(f"{name} cannot be done")))
                continue
            act(kind, tries)
            self.done += 1
            good.append(name)
        return Done(tuple(good), tuple(failed))


def act(kind: str, tries: int) -> None:
    """What an item does to its worker, the first time or always."""
    if kind == "fatal":
        raise UsageError("the whole job is wrong")
    if kind == "odd" and tries < 1:
        raise ZeroDivisionError("a worker that is in a bad state")
    if kind == "killer" or (kind == "deadly" and tries < 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "sleeper" and tries < 1:
        time.sleep(3600)
    if kind == "spinner" and tries < 1:
        re.match(r"(a+)+$", "a" * 60 + "b")  # one C call that holds the interpreter for ages
    if kind == "frozen" and tries < 1:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(1)  # another thread may be the one that is stopped first


@pytest.fixture(params=["in_process", pytest.param("ray", marks=pytest.mark.cluster)])
def make_pool(request: pytest.FixtureRequest) -> MakePool:
    if request.param == "in_process":
        return InProcess
    request.getfixturevalue("ray")
    return partial(RayActors, size=2, cpus=0.5)


def settle(pool: Pool, items: list[Item], **more: Any) -> tuple[list[str], dict[str, str]]:
    """Run; the names kept, in order of name, and the error of each that failed."""
    kept: list[str] = []
    found = run(pool, items, kept.extend, **more)
    pool.close()
    return sorted(kept), {name: str(error) for item, error in found.failed for name in item}


def singles(item: Item) -> list[Item]:
    return [(name,) for name in item]


def halves(item: Item) -> list[Item]:
    middle = len(item) // 2
    return [part for part in (item[:middle], item[middle:]) if part]


def attempts(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}.*")))


def test_every_item_is_done_exactly_once(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    assert pool.describe() == "described"
    names = [f"good-{i:02d}" for i in range(20)]
    assert settle(pool, [(name,) for name in names]) == (names, {})
    assert all(attempts(tmp_path, name) == 1 for name in names)


def test_what_fails_is_tried_again_and_then_given_up(make_pool: MakePool, tmp_path: Path) -> None:
    """Also as a part of a group: the rest of the group is not done again."""
    pool = make_pool(partial(Scripted, str(tmp_path)))
    kept, failed = settle(pool, [("bad-1", "good-1"), ("flaky-1", "good-2")], split=singles)
    assert kept == ["flaky-1", "good-1", "good-2"]
    assert failed == {"bad-1": "bad-1 cannot be done"}
    assert attempts(tmp_path, "bad-1") == attempts(tmp_path, "flaky-1") == ATTEMPTS
    assert attempts(tmp_path, "good-1") == attempts(tmp_path, "good-2") == 1


def test_an_error_of_the_whole_job_ends_it(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    with pytest.raises(UsageError, match="whole job is wrong"):
        settle(pool, [("fatal-1",)])


def test_a_worker_in_a_bad_state_is_built_anew(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(partial(Scripted, str(tmp_path)))
    assert settle(pool, [("odd-1",), ("good-1",)]) == (["good-1", "odd-1"], {})


def test_a_hang_without_ray_ends_the_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    pool = InProcess(partial(Scripted, str(tmp_path)), lease=1.0)
    with pytest.raises(
        Incomplete, match=r"no progress for 1 s on .'sleeper-1'.*same command again"
    ):
        settle(pool, [("sleeper-1",)])


@pytest.mark.cluster
@pytest.mark.parametrize(
    "hangs", [["spinner"], pytest.param(["frozen", "sleeper"], marks=pytest.mark.slow)]
)
def test_workers_that_die_or_hang_are_replaced_and_their_items_done(
    ray: object, tmp_path: Path, hangs: list[str]
) -> None:
    """Killed, stuck in one C call, stopped, asleep: each lease goes to another worker."""
    pool = RayActors(partial(Scripted, str(tmp_path)), size=2, cpus=0.5, lease=3.0)
    ill = ["deadly", *hangs]
    said: list[str] = []
    names = sorted([*ill, "good"])
    assert settle(pool, [(name,) for name in names], say=said.append) == (names, {})
    assert {name: attempts(tmp_path, name) for name in names} == dict.fromkeys(ill, 2) | {"good": 1}
    assert sum("died" in line for line in said) == 1
    assert sum("showed no progress for 3 s and was ended" in line for line in said) == len(hangs)


@pytest.mark.slow
@pytest.mark.cluster
def test_a_worker_that_dies_with_nothing_to_do_is_given_nothing(
    ray: object, tmp_path: Path
) -> None:
    """Its death would be held against the item."""
    pool = RayActors(partial(Scripted, str(tmp_path)), size=1, cpus=0.5)
    pool.describe()
    (dead,) = pool.crew.members
    os.kill(dead.about["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while dead in pool.crew.members and time.monotonic() < deadline:
        pool.wait(0.1)
        pool.progress()
    kept: list[str] = []
    found = run(pool, [("good",)], kept.extend)
    pool.close()
    assert kept == ["good"] and found.died == found.retried == 0


@pytest.mark.slow
@pytest.mark.cluster
def test_an_item_that_kills_every_worker_is_found_and_given_up(ray: object, tmp_path: Path) -> None:
    """By halving its group; the rest of the group is done."""
    pool = RayActors(partial(Scripted, str(tmp_path)), size=2, cpus=0.5)
    group = (*(f"good-{i}" for i in range(7)), "killer-1")
    kept, failed = settle(pool, [group, ("good-8",)], split=halves, say=lambda line: None)
    assert kept == [f"good-{i}" for i in range(7)] + ["good-8"]
    assert failed == {"killer-1": f"{DEATHS} workers died with it"}
    assert attempts(tmp_path, "killer-1") <= DEATHS + 3


class Unbuildable(Scripted):
    """A worker that never comes up."""

    def __init__(self, folder: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.cluster
def test_workers_that_never_start_end_the_run(ray: object, tmp_path: Path) -> None:
    pool = RayActors(partial(Unbuildable, str(tmp_path)), size=1, cpus=0.5)
    with pytest.raises(Incomplete, match="5 workers in a row failed to start"):
        pool.describe()
    pool.close()

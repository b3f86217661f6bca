"""Nodes that differ, come late, are drained or shared: what runs where, on real clusters of Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import exceptions

from pipelines.bench.many_shards import Idle
from pipelines.bench.nodes import ONE, Has, Nodes, cluster, descendants
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.groups import Groups
from pipelines.run.cluster import parallel
from pipelines.run.crew import Crew
from pipelines.run.member import State
from pipelines.run.placement import Need, Node, fits, most, room
from pipelines.run.pool import pool_of
from pipelines.run.resources import CORES, Resources, device_among
from pipelines.run.waiting import Waiting
from tests.pipelines.test_faults import Process, agree, calm, ended, shards, start, until

__all__ = ["calm", "shards"]  # fixtures


def node(name: str, cpus: float, gpus: float = 0, taken: float = 0, draining: bool = False) -> Node:
    """A node of which other jobs have `taken` CPUs."""
    return Node(name, cpus, gpus, cpus - taken, gpus, draining)


def test_workers_fit_into_nodes_not_into_their_sum() -> None:
    nodes = [node("head", 0), node("a", 3), node("b", 3), node("c", 8, taken=6)]
    assert room(nodes, Need(2), Counter()) == 1 + 1 + 1
    assert most(nodes, Need(2)) == 1 + 1 + 4
    assert room([*nodes, node("d", 64, draining=True)], Need(2), Counter()) == 3
    assert room([node("g", 16, gpus=4)], Need(1, 0.5), Counter()) == 8
    assert room([node("g", 4, gpus=4)], Need(1, 0.5), Counter()) == 4, "CPUs are short"
    assert room([node("cpu", 64)], Need(1, 1), Counter()) == 0


@given(
    cpus=st.integers(0, 64),
    each=st.sampled_from([0.1, 0.25, 0.5, 1, 2, 3]),
    others=st.integers(0, 64),
)
def test_room_does_not_depend_on_how_many_of_ours_are_there(
    cpus: int, each: float, others: int
) -> None:
    """Whatever Ray counts as taken by them: all of it, or none yet."""
    others = min(others, cpus)
    free = fits(cpus - others, 0, Need(each))
    for ours in range(free + 1):
        seen = Node("a", cpus, 0, cpus - others - ours * each, 0)
        assert room([seen], Need(each), Counter(a=ours)) == free


def test_what_workers_need_follows_the_nodes() -> None:
    small, large = node("s", 2), node("l", 64, gpus=8)
    assert Resources().need("cpu", [large]) == Need(CORES)
    assert Resources().need("cpu", [large, small, node("head", 0)]) == Need(2)
    assert Resources().need("cuda", [large]) == Need(1, 1)
    assert Resources(gpus_per_worker=0.25).need("cuda", [large]) == Need(1, 0.25)
    assert Resources(cpus_per_worker=3).need("cpu", [small]) == Need(3), "a node may yet come"
    assert Resources(2).need("cpu", [node("a", 1), node("b", 1)]) == Need(1)
    assert Resources(1).need("cpu", [large]) == Need(64)
    assert Resources(10).need("cpu", [node("head", 0)]) == Need(1)
    assert (device_among([small]), device_among([small, large])) == ("cpu", "cuda")


@given(workers=st.integers(1, 40), sizes=st.lists(st.integers(1, 64), min_size=1, max_size=6))
def test_workers_that_are_asked_for_find_room_where_there_is_a_cpu_for_each(
    workers: int, sizes: list[int]
) -> None:
    nodes = [node(str(index), size) for index, size in enumerate(sizes)]
    need = Resources(workers).need("cpu", nodes)
    assert most(nodes, need) >= min(workers, sum(sizes))
    assert need.cpus == max(sizes) or most(nodes, Need(need.cpus + 1)) < workers


def test_what_no_cluster_can_give_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--gpus-per-worker 1\.5 is no part of a GPU"):
        Resources(gpus_per_worker=1.5)
    with pytest.raises(UsageError, match="--cpus-per-worker must not be negative"):
        Resources(cpus_per_worker=-1)


def test_groups_shrink_when_workers_come() -> None:
    waiting = [(f"{i:03d}", "") for i in range(640)]
    workers = 1
    groups = Groups(waiting, dict.fromkeys(dict(waiting), 1.0), lambda: workers, most=320)
    assert len(next(groups).shards) == 320
    workers = 16
    assert len(next(groups).shards) == 10
    rest = [shard for group in groups for shard in group.shards]
    assert len(rest) == len(set(rest)) == 310


def test_what_comes_back_goes_first_and_what_failed_last() -> None:
    taken: list[int] = []
    waiting = Waiting(number for number in range(3))
    assert waiting.any()
    waiting.retry(10, 0.0)
    waiting.again(20)
    while waiting.any():
        taken.append(waiting.take())
    assert taken == [0, 20, 1, 2, 10] and waiting.take() is None


class Told:
    """Stands in for Ray, and for its actors: answers are given by the test, one by one."""

    def __init__(self) -> None:
        self.exceptions, self.ended = exceptions, list[Told]()
        self.here = self.build = self.leave = self
        self.answers: dict[object, object] = {}

    def remote(self, *_: object) -> object:
        return object()

    def get(self, reference: object) -> object:
        return self.answers[reference]

    def kill(self, actor: "Told") -> None:
        self.ended.append(actor)


def answer(crew: Crew, told: Told, what: object) -> None:
    """To the call that waits longest."""
    reference = next(iter(crew.answers))
    told.answers[reference] = what
    crew.answered(reference)


def test_a_worker_of_a_drained_node_is_replaced_while_it_finishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request for another stays; who has nothing in hand ends at once; no new lease."""
    monkeypatch.setattr("pipelines.run.crew.LOOK", -1.0)
    told, nodes = Told(), [node("a", 1), node("b", 1), node("c", 1)]
    crew = Crew(told, Told, lambda: nodes, 3, Need(1), 600.0)
    for name in "abc":
        answer(crew, told, {"node": name, "pid": 1, "address": name})
    for _ in "abc":
        crew.tend()
        answer(crew, told, "built")
    busy, idle, other = crew.members
    busy.enter(State.BUSY)
    nodes[:2] = [node("a", 1, draining=True), node("b", 1, draining=True)]
    for _ in range(3):
        crew.tend()
        assert crew.members[:2] == [busy, other] and len(crew.answers) == 2
    assert told.ended == [idle.actor], "no request was taken back"
    assert busy.state is State.LEAVING and crew.idle() == [other]
    crew.back(busy)
    assert crew.idle() == [other]
    crew.tend()
    assert told.ended == [idle.actor, busy.actor] and len(crew.members) == 3


def actors(nodes: Nodes, index: int) -> list[int]:
    """Process ids of the workers of one node."""
    return descendants(nodes.nodes[index].pid, "ray::_Actor")


def said(process: Process, words: str) -> str:
    """All that a process prints until it says this."""
    found = ""
    assert process.stdout is not None
    while words not in found:
        line = process.stdout.readline()
        assert line, f"{words!r} was never said: {found}"
        found += line
    return found


@pytest.mark.cluster
@pytest.mark.slow
def test_a_node_that_comes_late_is_used(shards: str, calm: Path, tmp_path: Path) -> None:
    """It must be: the only other node stops after its first shards, and then is lost."""
    out = tmp_path / "run"
    with cluster(ONE) as nodes:
        driver = start(shards, out, env=nodes.environment)
        until(lambda: list(out.glob("shards/*.json")), driver)
        os.kill(nodes.workers()[0], signal.SIGSTOP)
        nodes.add()
        until(lambda: actors(nodes, 1), driver)
        done = len(list(out.glob("shards/*.json")))
        assert done < 8
        nodes.lose(0)
        code, words = ended(driver)
    assert code == 0 and "160 images written" in words
    agree(calm, out)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_drained_node_finishes_what_it_has_and_gets_no_more() -> None:
    """What it has begun; the rest of its item is handed back, and nothing is lost or done twice."""
    with cluster(ONE, ONE) as nodes:
        command = [sys.executable, "-m", "tests.drained"]
        driver = subprocess.Popen(command, env=nodes.environment, stdout=subprocess.PIPE, text=True)
        said(driver, "two at work")
        nodes.drain(1)
        words = said(driver, "is drained: it finishes")
        more, _ = driver.communicate(timeout=200)
        assert not actors(nodes, 1)
    found = json.loads(more.splitlines()[-1])
    assert "is leased again" not in words + more
    assert sorted(found["kept"]) == list(range(160))
    assert found["died"] == 0 and found["handed_back"]


@pytest.mark.cluster
@pytest.mark.slow
def test_nodes_that_differ_and_a_gpu_that_is_shared(shards: str, tmp_path: Path) -> None:
    """A GPU is a number to Ray: on CPUs, workers are placed as they would be."""
    with cluster(ONE, Has(cpus=2, gpus=1)) as nodes:

        def placed(out: str, *more: str) -> list[int]:
            driver = start(shards, tmp_path / out, "--device", "cpu", *more, env=nodes.environment)
            found: list[int] = []
            deadline = time.monotonic() + 120
            while sum(found) < sum(expected) and time.monotonic() < deadline:
                assert driver.poll() is None, driver.communicate()
                found = [len(actors(nodes, index)) for index in range(2)]
                time.sleep(0.05)
            driver.send_signal(signal.SIGTERM)
            assert ended(driver)[0] == 3
            return found

        expected = [1, 2]
        assert placed("cpus") == expected
        expected = [0, 2]
        assert placed("gpus", "--gpus-per-worker", "0.5") == expected


def mortal(folder: str, number: int) -> int:
    """A task whose process is killed the first time, where its number is odd."""
    if number % 2 and not (there := Path(folder, str(number))).exists():
        there.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


@pytest.mark.cluster
@pytest.mark.slow
def test_tasks_survive_the_end_of_their_processes(ray: object, tmp_path: Path) -> None:
    assert parallel(mortal, [1, 2, 3], str(tmp_path)) == [1, 4, 9]


def deadly(shared: None, number: int) -> None:
    """A task that always kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.cluster
@pytest.mark.slow
def test_tasks_that_always_die_end_the_job(ray: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.run.cluster.RETRIES", 1)
    with pytest.raises(Incomplete, match="was lost 2 times with its process or node"):
        parallel(deadly, [1, 2])


@pytest.mark.cluster
def test_what_a_machine_alone_cannot_give_is_refused(ray: object) -> None:
    with (
        pytest.raises(UsageError, match="a worker needs 1000 CPUs and 0 GPUs, but here are"),
        pool_of(Idle, "cpu", Resources(cpus_per_worker=1000)),
    ):
        pass

"""The pool that a job is asked for: one worker in this process, or Ray actors on CPUs or GPUs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.errors import UsageError
from pipelines.io.options import passed_on
from pipelines.io.turns import VARIABLE
from pipelines.run.actors import RayActors
from pipelines.run.cluster import alone, live_nodes, ray_session
from pipelines.run.in_process import InProcess
from pipelines.run.lease import LEASE
from pipelines.run.placement import Need, Node, most
from pipelines.run.resources import OPEN, Resources, device_among
from pipelines.run.runner import Pool, Worker


def device_of(asked: str, in_process: bool) -> str:
    """`cpu` or `cuda`: for `auto`, a GPU where this process, or the cluster, has one."""
    if asked != "auto":
        return asked
    if in_process:
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    with ray_session():
        return device_among(live_nodes())


@contextmanager
def pool_of(
    build: Callable[[], Worker],
    device: str,
    resources: Resources = OPEN,
    in_process: bool = False,
    lease: float = LEASE,
) -> Iterator[Pool]:
    """Workers that `build` makes, each in its own process."""
    limit = {VARIABLE: str(resources.reads_per_node)} if resources.reads_per_node else {}
    if in_process:
        os.environ.update(limit)
        yield InProcess(build, lease)
        return
    with ray_session():
        nodes = live_nodes()
        need = resources.need(device, nodes)
        size = resources.workers
        if alone():
            size = min(size, _room(nodes, need))
        pool = RayActors(build, size, *need, lease, passed_on() | limit)
        try:
            yield pool
        finally:
            pool.close()


def _room(nodes: list[Node], need: Need) -> int:
    """How many workers find room on nodes that no other can join; UsageError for none."""
    found = most(nodes, need)
    if not found:
        has = "; ".join(str(Need(node.cpus, node.gpus)) for node in nodes)
        raise UsageError(
            f"a worker needs {need}, but here are {has}: ask for less, or set RAY_ADDRESS to a "
            "cluster that has them"
        )
    return found

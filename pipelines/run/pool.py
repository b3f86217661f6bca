"""The pool that a job is asked for: one worker in this process, or Ray actors on CPUs or GPUs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.run.actors import RayActors
from pipelines.run.cluster import ray_session
from pipelines.run.in_process import InProcess
from pipelines.run.lease import LEASE
from pipelines.run.runner import Pool, Worker


def device_of(asked: str, in_process: bool) -> str:
    """`cpu` or `cuda`: for `auto`, a GPU where this process, or the cluster, has one."""
    if asked != "auto":
        return asked
    if in_process:
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    with ray_session() as ray:
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= 1 else "cpu"


@contextmanager
def pool_of(
    build: Callable[[], Worker],
    device: str,
    workers: int = 0,
    in_process: bool = False,
    lease: float = LEASE,
) -> Iterator[Pool]:
    """Workers that `build` makes, each in its own process; 0 of them: one per GPU or 4 cores."""
    if in_process:
        yield InProcess(build, lease)
        return
    with ray_session() as ray:
        resources = ray.cluster_resources()
        gpus = 1 if device.startswith("cuda") else 0
        cpus = int(resources.get("CPU", 1))
        size = workers or int(resources["GPU"] if gpus else max(1, cpus // 4))
        each = 1 if gpus else max(1, cpus // size)
        pool = RayActors(build, size, cpus=each, gpus=gpus, lease=lease)
        try:
            yield pool
        finally:
            pool.close()

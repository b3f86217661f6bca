"""A Ray cluster for the time of a job: the one that is there, or a local one; and tasks on it."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def ray_session() -> Iterator[Any]:
    """The cluster of RAY_ADDRESS or one that runs here already, else a local one for this job."""
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        folder = tempfile.mkdtemp(prefix="nhd-ray-", dir="/tmp")
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=os.cpu_count(),
            object_store_memory=200 * 2**20,
            _temp_dir=folder,
            **quiet,
        )
    try:
        yield ray
    finally:
        ray.shutdown()


def parallel(
    function: Callable[[Any], Any], items: list[Any], in_process: bool, cpus: float = 1
) -> list[Any]:
    """`[function(item) for item in items]`, each as a Ray task that sees no GPU, or right here."""
    if in_process or len(items) == 0:
        return [function(item) for item in items]
    with ray_session() as ray:
        task = ray.remote(function).options(
            num_cpus=cpus, runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
        )
        try:
            found: list[Any] = ray.get([task.remote(item) for item in items])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return found

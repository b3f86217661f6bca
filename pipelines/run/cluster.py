"""A Ray cluster for the time of a job: the one that is there, or a local one; and tasks on it."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

CURRENT = "/tmp/ray/ray_current_cluster"  # where `ray start` leaves the address of its cluster


@contextlib.contextmanager
def ray_session() -> Iterator[Any]:
    """The cluster of RAY_ADDRESS or one that runs here already, else a local one for this job.

    A local one listens on loopback only.
    """
    if "RAY_ADDRESS" not in os.environ and not _running():
        # The one switch (named after systems where it is the default) with which Ray takes the
        # loopback address for its node, and then binds every port to it. Read on import.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
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


def _running() -> bool:
    """Does the cluster of which Ray left a note here still answer?"""
    try:
        with open(CURRENT) as file:
            host, _, port = file.read().strip().rpartition(":")
        with socket.create_connection((host, int(port)), timeout=2):
            return True
    except (OSError, ValueError):
        return False


def parallel(
    function: Callable[[Any, Any], Any],
    items: list[Any],
    shared: Any = None,
    in_process: bool = False,
) -> list[Any]:
    """`[function(shared, item) for item in items]`, each as a one-CPU Ray task, or right here.

    `shared` goes to each node once. The tasks see no GPU: Ray leaves CUDA_VISIBLE_DEVICES alone
    for tasks that ask for none.
    """
    if in_process or len(items) < 2:
        return [function(shared, item) for item in items]
    with ray_session() as ray:
        hidden = {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
        task = ray.remote(function).options(num_cpus=1, runtime_env=hidden)
        reference = ray.put(shared)
        try:
            found: list[Any] = ray.get([task.remote(reference, item) for item in items])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return found

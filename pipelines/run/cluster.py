"""A Ray cluster for the time of a job: the one that is there, or a local one; and tasks on it."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from pipelines.errors import Incomplete

CURRENT = "/tmp/ray/ray_current_cluster"  # where `ray start` leaves the address of its cluster


@contextlib.contextmanager
def ray_session() -> Iterator[Any]:
    """The cluster of RAY_ADDRESS or one that `ray start` left running here, else one of this job.

    The job's own listens on loopback only, and ends with it. (Ray's address "auto" would also find
    those of other jobs, and lose them when these end.) Raises Incomplete if RAY_ADDRESS does not
    answer.
    """
    address = os.environ.get("RAY_ADDRESS") or _left_running()
    if address is None:
        # The one switch (named after systems where it is the default) with which Ray takes the
        # loopback address for its node, and then binds every port to it. Read on import.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is not None:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError) as error:
            why = str(error).partition("\n")[0]
            raise Incomplete(f"no Ray cluster answers at {address}: {why}") from error
    else:
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


def _left_running() -> str | None:
    """The address of the cluster of which `ray start` left a note here, if it still answers."""
    try:
        with open(CURRENT) as file:
            address = file.read().strip()
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=2):
            return address
    except (OSError, ValueError):
        return None


def parallel(
    function: Callable[[Any, Any], Any],
    items: list[Any],
    shared: Any = None,
    in_process: bool = False,
    starting: Callable[[int], None] = lambda workers: None,
) -> list[Any]:
    """`[function(shared, item) for item in items]`, each as a one-CPU Ray task, or right here.

    `shared` goes to each node once. `starting` is told first how many items are done at once. The
    tasks see no GPU: Ray leaves CUDA_VISIBLE_DEVICES alone for tasks that ask for none.
    """
    if in_process or len(items) < 2:
        starting(1)
        return [function(shared, item) for item in items]
    with ray_session() as ray:
        starting(max(1, int(ray.cluster_resources().get("CPU", 1))))
        hidden = {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}}
        task = ray.remote(function).options(num_cpus=1, runtime_env=hidden)
        reference = ray.put(shared)
        try:
            found: list[Any] = ray.get([task.remote(reference, item) for item in items])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return found

"""A Ray cluster for the time of a job: the one that is there, or a local one; and tasks on it."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import Incomplete
from pipelines.io.options import passed_on
from pipelines.run.log import FAILURE
from pipelines.run.placement import Need, Node, most
from pipelines.run.session import session_folder

RETRIES = 4  # times that a task whose process or node ends is done again
STARTS = 2  # times that a Ray of the job's own is started until it runs
RAYS = "RAY_gcs_rpc_server_reconnect_timeout_s"  # then it ends a process whose head is gone
PATIENCE = 0.75  # of that time
LOOK = 5.0  # seconds between looks at the head
QUIET: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
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
    on_stop = signal.getsignal(signal.SIGTERM)
    with _joined(ray, address) if address is not None else _own(ray):
        # Whatever `log_to_driver` says, Ray prints notices of nodes that end, with pieces of their
        # logs, into any document on stdout; its debugger has this switch. Runs tell of lost nodes.
        ray._private.worker._worker_logs_enabled = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_stop)  # Ray's own way is to end with 15, no word said
        ended = threading.Event()
        watched = ray.get_runtime_context().gcs_address, ended
        threading.Thread(target=_watch_head, args=watched, daemon=True).start()
        try:
            yield ray
        finally:
            ended.set()


@contextlib.contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    """The cluster at an address, for a while."""
    try:
        ray.init(address=address, **QUIET)
    except (ConnectionError, RuntimeError) as error:
        why = str(error).partition("\n")[0]
        raise Incomplete(f"no Ray cluster answers at {address}: {why}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own(ray: Any) -> Iterator[None]:
    """One of this job's own, for a while."""
    with session_folder() as folder:
        _start(ray, folder)
        try:
            yield
        finally:
            ray.shutdown()


def _start(ray: Any, folder: Path) -> None:
    """On busy cores Ray's raylet may end as it starts: it waits 15 s for its helpers, fixed."""
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                num_cpus=os.cpu_count(),
                object_store_memory=200 * 2**20,
                _temp_dir=str(folder / str(left)),
                **QUIET,
            )
            return
        except Exception as error:  # Ray raises no class of its own
            if not left:
                why = str(error).partition("\n")[0]
                raise Incomplete(
                    f"Ray could not be started here, {STARTS} times ({why}); run the same command "
                    "again when the machine is less busy, or with --in-process"
                ) from error


def _left_running() -> str | None:
    """The address of the cluster of which `ray start` left a note here, if it still answers."""
    try:
        with open(CURRENT) as file:
            address = file.read().strip()
    except (OSError, ValueError):
        return None
    return address if _answers(address) else None


def _answers(address: str) -> bool:
    """Does the head of a cluster take connections?"""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except (OSError, ValueError):
        return False


def _watch_head(address: str, ended: threading.Event) -> None:
    """End the process, and say why, shortly before Ray would: with 1, which means another thing.

    Calls to a head that is gone block inside Ray, so that no exception would be heard.
    """
    patience = PATIENCE * float(os.environ.get(RAYS, "60"))
    heard = time.monotonic()
    while not ended.wait(LOOK):
        if _answers(address):
            heard = time.monotonic()
        elif time.monotonic() - heard > patience and not ended.is_set():
            print(
                f"{FAILURE}the head of the Ray cluster at {address} has not answered for "
                f"{patience:.0f} s; what is committed stays: run the same command again when it "
                "is back",
                file=sys.stderr,
                flush=True,
            )
            os._exit(Incomplete.exit_code)


def alone() -> bool:
    """Is the cluster this job's own, which no other node can join?"""
    return not (os.environ.get("RAY_ADDRESS") or _left_running())


def live_nodes() -> list[Node]:
    """The cluster's live nodes, with what is free on each as Ray last heard.

    Only of draining ones and of what is free does Ray tell nowhere but in `ray._private` (its own
    Train and Serve ask there); without a dashboard, its state API does not answer.
    """
    import ray
    from ray._private.state import state

    free, leaving = state.available_resources_per_node(), state.get_draining_nodes()
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            each, have = free.get(node["NodeID"], {}), node["Resources"]
            totals = have.get("CPU", 0.0), have.get("GPU", 0.0)
            now = each.get("CPU", 0.0), each.get("GPU", 0.0)
            found.append(Node(node["NodeID"], *totals, *now, node["NodeID"] in leaving))
    return found


def parallel(
    function: Callable[[Any, Any], Any],
    items: list[Any],
    shared: Any = None,
    in_process: bool = False,
    starting: Callable[[int], None] = lambda workers: None,
) -> list[Any]:
    """`[function(shared, item) for item in items]`, each as a one-CPU Ray task, or right here.

    `shared` goes to each node once. `starting` is told first how many items are done at once. The
    tasks see no GPU: Ray leaves CUDA_VISIBLE_DEVICES alone for tasks that ask for none. They are
    spread over the nodes; one whose node or process ends is done again elsewhere, up to RETRIES
    times, after which the job is Incomplete.
    """
    if in_process or len(items) < 2:
        starting(1)
        return [function(shared, item) for item in items]
    with ray_session() as ray:
        starting(max(1, most(live_nodes(), Need())))
        variables = passed_on() | {"CUDA_VISIBLE_DEVICES": ""}
        task = ray.remote(function).options(
            num_cpus=1,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": variables},
        )
        reference = ray.put(shared)
        try:
            found: list[Any] = ray.get([task.remote(reference, item) for item in items])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            why = str(error).partition("\n")[0]
            raise Incomplete(
                f"a part was lost {RETRIES + 1} times with its process or node ({why}); run the "
                "same command again"
            ) from error
        return found

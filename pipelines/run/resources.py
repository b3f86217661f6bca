"""What a job may take of its cluster: how many workers, and what each of them is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.run.placement import SLACK, Need, Node, fits

CORES = 4  # CPUs of a worker on a cluster of CPUs, where nodes have as many


@dataclass(frozen=True)
class Resources:
    """How many workers run, and on what. Nothing here changes a result."""

    workers: int = 0
    """Ray actors; 0 for as many as the live nodes have room for, also those that join later."""
    cpus_per_worker: float = 0.0
    """CPUs that Ray sets aside for each worker; 0 means 4 where nodes have them, 1 beside a GPU."""
    gpus_per_worker: float = 0.0
    """GPUs of each worker; 0.5 lets two share one, 0 means one where the model runs on GPUs."""
    reads_per_node: int = 0
    """Files that the workers of one node read from a store at once; 0 sets no limit."""

    def __post_init__(self) -> None:
        """Refuse what no cluster can give."""
        for name in ("workers", "cpus_per_worker", "gpus_per_worker", "reads_per_node"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} must not be negative")
        if self.gpus_per_worker > 1 and not float(self.gpus_per_worker).is_integer():
            raise UsageError(
                f"--gpus-per-worker {self.gpus_per_worker:g} is no part of a GPU and no whole "
                "number of them: give 0.5, 1 or 2"
            )

    def need(self, device: str, nodes: Sequence[Node]) -> Need:
        """What each worker takes on these nodes, where it is not said."""
        gpus = self.gpus_per_worker or (1.0 if device.startswith("cuda") else 0.0)
        return Need(self.cpus_per_worker or (1.0 if gpus else self._cpus(nodes)), gpus)

    def _cpus(self, nodes: Sequence[Node]) -> float:
        """The CPUs of each of `workers` that all find room, or of workers that every node can have.

        Where a cluster has no node yet but its head, one: any node that comes can give it.
        """
        sizes = [node.cpus for node in nodes if node.cpus >= 1]
        if not self.workers:
            return float(min([CORES, *map(int, sizes)])) if sizes else 1.0
        most = max(map(int, sizes), default=1)
        while most > 1 and sum(fits(size, 0, Need(most)) for size in sizes) < self.workers:
            most -= 1
        return float(most)


OPEN = Resources()  # nothing is said: as many workers as fit


def device_among(nodes: Sequence[Node]) -> str:
    """`cuda` where a node has a GPU."""
    return "cuda" if any(node.gpus >= 1 - SLACK for node in nodes) else "cpu"

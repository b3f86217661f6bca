"""What fits where: the nodes of a cluster, and what each worker takes of one."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

SLACK = 1e-6  # resources come as sums of fractions


class Need(NamedTuple):
    """What one worker takes of its node; CPUs and GPUs, either of which may be a fraction."""

    cpus: float = 1.0
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"


class Node(NamedTuple):
    """A live node: all that it has, and what nobody has taken of it now, as Ray last heard."""

    id: str
    cpus: float
    gpus: float
    free_cpus: float
    free_gpus: float
    draining: bool = False
    """It is about to be taken away: whoever runs the cluster has said so."""


def fits(cpus: float, gpus: float, need: Need) -> int:
    """How many workers that is enough for."""
    wanted = [(have, each) for have, each in zip((cpus, gpus), need, strict=True) if each > 0]
    return max(0, min((int((have + SLACK) / each) for have, each in wanted), default=0))


def room(nodes: Iterable[Node], need: Need, ours: Counter[str]) -> int:
    """How many workers can run now, with `ours` of each node being there already.

    What other jobs hold is left to them. What Ray tells lags: a worker of ours that has just begun
    may still be counted as free, hence the least of that and of all there is.
    """
    found = 0
    for node in nodes:
        if not node.draining:
            mine = ours[node.id]
            cpus = min(node.cpus, node.free_cpus + mine * need.cpus)
            gpus = min(node.gpus, node.free_gpus + mine * need.gpus)
            found += fits(cpus, gpus, need)
    return found


def most(nodes: Iterable[Node], need: Need) -> int:
    """How many workers there would be room for if no other job held anything."""
    return sum(fits(node.cpus, node.gpus, need) for node in nodes if not node.draining)

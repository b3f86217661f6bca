"""`nhd bench`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal, get_args

import tyro

from pipelines.errors import Crossed

Speed = Literal[
    "start",
    "decode",
    "compute",
    "pipeline",
    "storage",
    "omp",
    "fit",
    "compare",
    "query",
    "schedule",
    "scale",
]
Measure = Literal[Speed, "gpu", "faults", "memory", "concepts"]
SPEED: tuple[Speed, ...] = get_args(Speed)


@dataclass(frozen=True)
class Bench:
    """Measure this machine: what bounds a job here, and whether what is promised holds."""

    what: tyro.conf.Positional[tuple[Measure, ...]] = SPEED
    """`start`: the command itself. `storage`: bytes per image at RN50x16's size. `schedule`: what a
    shard costs the driver, and how long workers wait for the last one. `scale`: cost and time of
    up to 5 billion images, computed from such figures. `faults`: 200 shards while workers, nodes
    and drivers are killed at random. `memory`: ten times as many images take no more of it.
    `decode`, `compute` and `pipeline`: images per second, by parts and end to end. `omp`: sparse
    codes against scikit-learn, and against their matrix products. `fit`: RN50x16's 147,456 pairs
    without codes. `compare`: two runs of that size.
    `query`: which images fire a pair, by the table that `nhd compact` makes and by the rows.
    `gpu`: `compute` on an NVIDIA GPU.
    `concepts`: how well the rules of concept scores tell generated scenes apart; the table is also
    written to `concepts/table.md` in the folder."""
    out: str | None = None
    """An empty folder to work in, kept afterwards; by default a temporary one."""
    json: str | None = None
    """Also write the results to this file."""
    seed: int = 0
    """Which things are killed when."""

    def __call__(self) -> None:
        from pipelines.bench import bench as run

        results = run(self.what, self.out, self.json, self.seed)
        if broken := sum(not result.kept for result in results):
            raise Crossed(f"{broken} promises were not kept")

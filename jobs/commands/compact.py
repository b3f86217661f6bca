"""`nhd compact`: its arguments, and what it calls."""

from dataclasses import dataclass

from jobs.arguments import CpusPerWorker, Flag, GpusPerWorker, ReadsPerNode, Workers, resources


@dataclass(frozen=True)
class Compact:
    """Tables made for questions: a run in few large files, and its firings sorted by pair."""

    run: str
    """The run folder; the tables go into its folder `tables`. Shards that are added later are
    taken up by the same command."""
    images: int = 100_000
    """About how many images a file holds. One worker takes about 1.4 GB for 100,000
    of 256 pairs each."""
    workers: Workers = 0
    cpus_per_worker: CpusPerWorker = 0.0
    gpus_per_worker: GpusPerWorker = 0.0
    reads_per_node: ReadsPerNode = 0
    in_process: Flag = False
    """Run here, without Ray."""

    def __call__(self) -> None:
        from pipelines.errors import UsageError
        from pipelines.tables.compact import CompactPlan
        from pipelines.tables.compact import compact as run

        if self.images < 1:
            raise UsageError("--images must be at least 1")
        plan = CompactPlan(self.run, self.images, resources(self), self.in_process)
        found = run(plan)
        print(
            f"{found['images']} images and {found['firings']} firings in {found['groups']} files "
            f"each, {found['bytes'] / 1e6:.1f} MB: {self.run.rstrip('/')}/tables"
        )

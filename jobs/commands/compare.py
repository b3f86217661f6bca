"""`nhd compare`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import names
from jobs.terminal import terminal_width


@dataclass(frozen=True)
class Compare:
    """Two runs, or two buckets of one, to a report of what changed."""

    out: str
    """Where the report and its tables go."""
    baseline: str | None = None
    """The run folder to compare with."""
    current: str | None = None
    """The run folder that may have changed."""
    run: str | None = None
    """One run folder, to be split by a column."""
    by: str | None = None
    """The column that splits it, such as `year`."""
    values: str = ""
    """Two values of the column, `2019,2024`; by default the first and the last."""
    measure: Literal["auto", "grounded", "similarity", "score", "share"] = "auto"
    """Decides on concepts; `auto` is grounded if both runs have the same lens, else similarity."""
    alpha: float = 0.01
    """False-discovery rate."""
    floor: float = 0.1
    """Smallest effect (Cohen's d or h) that counts as a change."""
    cluster: str = "auto"
    """Which images depend on each other: those of one `shard`, those that share a value of a
    column, or `none`; `auto` takes shards if their images are more alike than chance allows."""
    seed: int = 0
    """Seed of the random splits, resamples and permutations."""

    def __call__(self) -> None:
        from pipelines.analyse.compare import ComparePlan
        from pipelines.analyse.compare import compare as run
        from pipelines.analyse.written import plain
        from pipelines.errors import UsageError
        from pipelines.terminal.changes import change_lines

        values = names(self.values)
        if len(values) not in (0, 2):
            raise UsageError("--values takes two values of the column, such as 2019,2024")
        plan = ComparePlan(
            baseline=self.baseline,
            current=self.current,
            run=self.run,
            by=self.by,
            values=(values[0], values[1]) if values else None,
            out=self.out,
            measure=self.measure,
            alpha=self.alpha,
            floor=self.floor,
            cluster=self.cluster,
            seed=self.seed,
        )
        found = run(plan)
        lines = change_lines(plain(found.findings), plain(found.summary), terminal_width())
        print("\n".join(lines))
        print(f"\nreport: {self.out.rstrip('/')}/index.html")

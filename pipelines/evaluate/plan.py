"""What the user asks of an evaluation, parsed; `nhd evaluate --help` explains each of it."""

from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.run.lease import LEASE
from pipelines.run.resources import OPEN, Resources

ATOMS = (4, 8, 16, 32, 64, 128)
FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
RANKS = (1, 2, 4)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class EvaluatePlan:
    """One evaluation of one run."""

    run: str
    data: str | None = None
    """Labelled shards; by default those of the run."""
    classes: str | None = None
    """See `pipelines.io.classes`; by default `scene-things`, for the tiny model only."""
    truth: str = "class"
    """The field of the samples' JSON that holds the class: its name, or its number."""
    words: str | None = None
    atoms: tuple[int, ...] = ATOMS
    """Lengths of the codes; none for no codes."""
    out: str | None = None
    """By default `<run>/evaluate`."""
    fractions: tuple[float, ...] = FRACTIONS
    ranks: tuple[int, ...] = RANKS
    seeds: tuple[int, ...] = SEEDS
    """Of the random choices that ablation by importance is held against."""
    batch_size: int = 0
    device: str = "auto"
    resources: Resources = OPEN
    in_process: bool = False
    lease: float = LEASE

    def __post_init__(self) -> None:
        if any(size < 1 for size in (*self.atoms, *self.ranks)):
            raise UsageError("--atoms must be numbers from 1 on")
        if any(not 0 <= fraction <= 1 for fraction in self.fractions):
            raise UsageError("the shares of kept units must lie between 0 and 1")

"""What the user asks of a calibration, parsed; `nhd calibrate --help` explains each of it."""

from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.run.lease import LEASE
from pipelines.run.resources import OPEN, Resources

MOST_CANDIDATES = 200
"""Co-moments of a thousand concepts' candidates, in five folds, then take 1.6 GB."""


@dataclass(frozen=True)
class CalibratePlan:
    """One lens of one run."""

    run: str
    """The run folder of the reference sample; it must have concepts."""
    out: str
    """Where the lens goes."""
    candidates: int = 40
    """Pairs per concept that may get a weight."""
    folds: int = 5
    """Parts of the images, each of which is left out once."""
    batch_size: int = 0
    device: str = "auto"
    resources: Resources = OPEN
    in_process: bool = False
    lease: float = LEASE

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise UsageError(
                f"--candidates is {self.candidates}, but must lie between 1 and {MOST_CANDIDATES}"
            )
        if self.folds < 2:
            raise UsageError(f"--folds is {self.folds}, but one part cannot be left out of itself")

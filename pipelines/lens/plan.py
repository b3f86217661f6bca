"""What the user asks of a calibration, parsed; `nhd calibrate --help` explains each of it."""

from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.run.lease import LEASE


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
    workers: int = 0
    in_process: bool = False
    lease: float = LEASE

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise UsageError(f"--candidates is {self.candidates}, but must be 1 or more")
        if self.folds < 2:
            raise UsageError(f"--folds is {self.folds}, but one part cannot be left out of itself")

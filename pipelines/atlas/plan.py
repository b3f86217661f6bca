"""What the user asks of an atlas, parsed; `nhd atlas --help` explains each of it."""

from dataclasses import dataclass
from typing import Any

from nhd_ops.moments import TOP
from pipelines.errors import UsageError
from pipelines.io.urls import without_secrets
from pipelines.run.lease import LEASE
from pipelines.run.resources import OPEN, Resources


@dataclass(frozen=True)
class AtlasPlan:
    """One atlas of one fitted run."""

    run: str
    out: str
    pairs: int = 1000
    neurons: int = 200
    tiles: int = 8
    """Of each side of a pair and of each neuron."""
    beside: str | None = None
    """A run whose histograms are shown beside; made with the same model, and need not be fitted."""
    device: str = "auto"
    resources: Resources = OPEN
    in_process: bool = False
    lease: float = LEASE

    def __post_init__(self) -> None:
        if self.pairs < 0 or self.neurons < 0 or self.pairs + self.neurons == 0:
            raise UsageError("an atlas needs pairs or neurons: give --pairs or --neurons above 0")
        if not 1 <= self.tiles <= TOP:
            raise UsageError(f"--tiles must be 1 to {TOP}, as many as a fit knows on each side")

    def record(self) -> dict[str, Any]:
        """What decides what the atlas shows, as its JSON says it."""
        return {
            "run": without_secrets(self.run),
            "beside": None if self.beside is None else without_secrets(self.beside),
            "pairs": self.pairs,
            "neurons": self.neurons,
            "tiles": self.tiles,
        }

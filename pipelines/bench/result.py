"""A measured ratio, as `nhd bench` prints it and writes it to JSON."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What we take, what the other takes, and the ratio; `low` and `high` are its spread."""

    name: str
    ours: float
    theirs: float
    unit: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    target: float | None = None
    """At most this was promised of the ratio, or of `ours` where there is no ratio."""

    @property
    def kept(self) -> bool:
        """Was the promise kept?"""
        value = self.ours if self.ratio is None else self.ratio
        return self.target is None or value <= self.target

    def line(self) -> str:
        """For people."""
        text = f"{self.name}: {self.ours:g} against {self.theirs:g} {self.unit}".rstrip()
        if self.ratio is not None:
            text += f", ratio {self.ratio:.3f}"
        if self.low is not None:
            text += f" ({self.low:.3g} to {self.high:.3g})"
        if self.target is not None:
            text += f", promised at most {self.target:g}" + ("" if self.kept else ": NOT KEPT")
        return text

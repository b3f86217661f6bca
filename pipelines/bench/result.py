"""A measured figure, as `nhd bench` prints it and writes it to JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.terminal.aligned import aligned


@dataclass(frozen=True)
class Result:
    """What we take or reach, what it is held against, and the ratio of the two."""

    name: str
    ours: float
    unit: str
    theirs: float | None = None
    against: str = ""
    """What `theirs` is."""
    ratio: float | None = None
    """Larger is better where `least` is promised, smaller where `most` is."""
    low: float | None = None
    high: float | None = None
    """The spread of the ratio, or of `ours` where there is none: first and third quartile."""
    most: float | None = None
    least: float | None = None
    """At most, or at least, this was promised of the ratio, or of `ours` where there is none."""

    @property
    def kept(self) -> bool:
        """Was the promise kept?"""
        value = self.ours if self.ratio is None else self.ratio
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )

    def row(self) -> dict[str, Any]:
        """For JSON; `target` is what was promised, whether at least or at most."""
        target = self.most if self.least is None else self.least
        return asdict(self) | {"target": target, "kept": self.kept}

    def line(self) -> str:
        """For people."""
        return ", ".join(part for part in self.cells() if part)

    def cells(self) -> tuple[str, str, str, str]:
        """What, the figures, the ratio with its spread, the promise."""
        ours = f"{self.name}: {self.ours:.4g} {self.unit}".rstrip()
        theirs = "" if self.theirs is None else f"against {self.theirs:.4g} {self.against}".rstrip()
        spread = "" if self.low is None else f" ({self.low:.3g} to {self.high:.3g})"
        ratio = spread.strip() if self.ratio is None else f"ratio {self.ratio:.3f}{spread}"
        promise = "" if self.most is None else f"promised at most {self.most:g}"
        promise = promise if self.least is None else f"promised at least {self.least:g}"
        return ours, theirs, ratio, promise + ("" if self.kept else ": NOT KEPT")


def table(results: Iterable[Result]) -> list[str]:
    """Results as aligned lines."""
    return aligned([result.cells() for result in results])

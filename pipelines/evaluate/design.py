"""Which experiments are made: every setting by name, in the order in which they are counted."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nhd_ops.ablation import Unit

Experiment = Literal["original", "rank", "ablation", "text"]
UNITS: tuple[Unit, ...] = ("pairs", "neurons", "heads")


@dataclass(frozen=True)
class Setting:
    """One way to put the embedding together."""

    experiment: Experiment
    unit: Unit
    k: int | None = None
    """Components per unit, of a rank experiment."""
    keep: float | None = None
    """Share of units that are kept, of an ablation."""
    kept: int | None = None
    """The same as a number of units."""
    atoms: int | None = None
    """Words per direction, of a text experiment."""
    seed: int | None = None
    """Of the random ranking, of a control."""


@dataclass(frozen=True)
class Design:
    """The sizes of the model, and what is asked of it."""

    heads: int
    neurons: int
    head_width: int
    width: int
    ranks: tuple[int, ...]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    atoms: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def units(self, unit: Unit) -> int:
        """How many there are."""
        return {"neurons": self.neurons, "heads": self.heads}.get(unit, self.heads * self.neurons)

    def unit_ranks(self, unit: Unit) -> tuple[int, ...]:
        """Components per unit that make a difference: no more than its rank."""
        most = {"pairs": 1, "neurons": self.heads, "heads": self.head_width}[unit]
        return tuple(k for k in sorted(set(self.ranks)) if k <= most)

    def sizes(self, unit: Unit) -> dict[int, float]:
        """How many units each ablation keeps, ascending, and as a share.

        Heads are few: none, 1, 2, 4 and so on, whatever the shares.
        """
        count = self.units(unit)
        if unit == "heads":
            doubled = {2**i for i in range(count.bit_length()) if 2**i < count}
            return {kept: kept / count for kept in sorted({0, *doubled, count})}
        return {round(fraction * count): fraction for fraction in sorted(self.fractions)}

    def rank(self, unit: Unit) -> list[Setting]:
        """Settings of the rank experiment."""
        return [Setting("rank", unit, k=k) for k in self.unit_ranks(unit)]

    def ablation(self, unit: Unit, seed: int | None) -> list[Setting]:
        """Settings of one ranking's ablation; without a seed, the ranking by importance."""
        return [
            Setting("ablation", unit, keep=keep, kept=kept, seed=seed)
            for kept, keep in self.sizes(unit).items()
        ]

    def text(self, unit: Unit) -> list[Setting]:
        """Settings of the text experiment."""
        return [Setting("text", unit, atoms=atoms) for atoms in self.atoms]

    def rankings(self) -> Iterator[tuple[Unit, int | None]]:
        """Every unit with every way to rank it."""
        for unit in UNITS:
            yield from ((unit, seed) for seed in (None, *self.seeds))

    def settings(self) -> list[Setting]:
        """All of them, in the order in which they are counted."""
        found = [Setting("original", "pairs")]
        for unit in UNITS:
            found += self.rank(unit)
        for ranking in self.rankings():
            found += self.ablation(*ranking)
        return [*found, *self.text("pairs"), *self.text("neurons")]

    def is_identity(self, setting: Setting) -> bool:
        """Must its predictions be the original's, or a constant, whatever the data?"""
        s = setting
        most = {"pairs": 1, "neurons": self.heads, "heads": self.head_width}[s.unit]
        if s.experiment == "rank":
            return s.k is not None and s.k >= most
        if s.experiment == "text":  # if the words span the space
            return s.unit == "pairs" and s.atoms == self.width
        return s.experiment == "ablation" and s.kept in (0, self.units(s.unit))

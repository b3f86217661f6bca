"""What to simulate: the audits one has in mind, and how often to try them."""

from dataclasses import dataclass
from typing import Literal

from nhd_ops.spending import Spending, alpha_of
from pipelines.analyse.attribution import Criteria
from pipelines.errors import UsageError

Measure = Literal["auto", "grounded", "similarity", "score", "share"]
KINDS = ("concepts", "labels", "pairs", "auc", "rejects")
FEWEST_IMAGES = 30
FEWEST_SIMULATIONS = 100
ATTRIBUTED = 10
PERMUTED = 50


@dataclass(frozen=True)
class PowerPlan:
    """Audits of a series, simulated on the rows of a run."""

    run: str
    """The run folder whose rows are the population."""
    images: tuple[int, ...] = (500, 1000, 2000, 5000)
    """Images of an audit; each is tried."""
    baseline_images: int = 0
    """Images of the baseline; 0 for as many as the run has."""
    effects: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.5)
    """Shifts to plant, in standard deviations."""
    audits: int = 52
    """Audits of a series."""
    false_alarms: float = 0.05
    """The promised largest probability of any false alarm in a series without change."""
    spending: Spending = "even"
    """Power is that of the last audit, which `forever` gives least."""
    kinds: int = 5
    """Kinds of test among which an audit divides its alpha."""
    floor: float = 0.1
    """Smallest |effect| that counts."""
    measure: Measure = "auto"
    """Of concepts; `auto` is grounded where the run has it, else similarity."""
    of: tuple[str, ...] = ("concepts", "labels")
    """Kinds whose false alarms are counted; power is always that of concepts."""
    simulations: int = 1000
    """Audits simulated for each figure."""
    series: int = 500
    """Series simulated for each figure."""
    attributed: int = ATTRIBUTED
    """Planted audits per figure that also go through the search for causes, which is slow."""
    permuted: int = PERMUTED
    """Planted audits, of the shift that is to be found in 80 %, whose sides are also permuted."""
    copies: int = 1
    """How often each image comes within a sample: near-duplicates, k at a time."""
    per_shard: int = 0
    """Images of a shard, for audits that take shards as clusters; 0: images as independent."""
    seed: int = 0
    """Of all draws."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise UsageError(problem)

    def _problems(self) -> list[str]:
        """Sentences on what makes no sense."""
        found = []
        if not self.images or min(self.images) < FEWEST_IMAGES:
            found.append(f"an audit needs at least {FEWEST_IMAGES} images")
        if self.baseline_images and self.baseline_images < FEWEST_IMAGES:
            found.append(f"a baseline needs at least {FEWEST_IMAGES} images")
        if not all(0 < abs(d) <= 3 for d in self.effects):
            found.append("effects lie between 0 and 3 standard deviations, 0 left out")
        if self.simulations < FEWEST_SIMULATIONS:
            found.append(
                f"{self.simulations} simulations say nothing; take at least {FEWEST_SIMULATIONS}"
            )
        for name in ("series", "attributed", "permuted", "floor", "per_shard", "seed"):
            if getattr(self, name) < 0:
                found.append(f"{name} is {getattr(self, name)}, but must not be negative")
        for name in ("audits", "kinds", "copies"):
            if getattr(self, name) < 1:
                found.append(f"{name} is {getattr(self, name)}, but must be at least 1")
        smallest = min(self.baseline_images or 10**9, *self.images, 10**9)
        if self.per_shard and not self.copies <= self.per_shard <= smallest / 2:
            found.append(
                f"shards of {self.per_shard} images: each sample needs two of them at least, and "
                f"each shard all {self.copies} copies of an image"
            )
        if not 0 < self.false_alarms < 1:
            found.append(f"false_alarms is {self.false_alarms}, but must lie between 0 and 1")
        if unknown := [kind for kind in self.of if kind not in KINDS]:
            found.append(f"there is no kind '{unknown[0]}'; choose from {', '.join(KINDS)}")
        return found

    @property
    def alphas(self) -> tuple[float, ...]:
        """What each kind of test of each audit of the series may spend."""
        return tuple(
            alpha_of(t, self.audits, self.false_alarms, self.spending) / self.kinds
            for t in range(1, self.audits + 1)
        )

    @property
    def criteria(self) -> Criteria:
        """Of the last audit."""
        return Criteria(self.alphas[-1], self.floor)

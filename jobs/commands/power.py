"""`nhd power`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import names, usage


@dataclass(frozen=True)
class Power:
    """How large a change audits of such images find, and how often they raise false alarms."""

    run: str
    """A run folder; audits are simulated by drawing from its rows. No model is needed."""
    images: str = "500,1000,2000,5000"
    """Images of an audit; each number is tried."""
    baseline_images: int = 0
    """Images of the baseline; 0 for as many as the run has."""
    effects: str = "0.1,0.15,0.2,0.3,0.5"
    """Shifts to plant, in standard deviations."""
    audits: int = 52
    """Audits of the series."""
    false_alarms: float = 0.05
    """Largest probability that a series without change raises any alarm."""
    spending: Literal["even", "forever"] = "even"
    """`even` over the audits of the series, or `forever`, which early audits get most of."""
    kinds: int = 5
    """Kinds of test that have a threshold: concepts, labels, pairs, auc, rejects."""
    floor: float = 0.1
    """Smallest effect that counts."""
    measure: Literal["auto", "grounded", "similarity", "score", "share"] = "auto"
    """What decides on concepts; `auto` is grounded where the run has a lens, else similarity."""
    of: str = "concepts,labels"
    """Tests whose false alarms are counted; also `pairs` (needs a run with --keep dense), `rejects`
    (needs a run with some) and `auc`, which is slow."""
    simulations: int = 1000
    """Audits simulated for each figure."""
    series: int = 500
    """Series simulated for each figure; 0 for none."""
    attributed: int = 10
    """Audits per figure of power that also go through the search for causes, which is slow."""
    permuted: int = 50
    """Audits, of the shift to be found in 80 %, that passed by q and whose sides are permuted."""
    copies: int = 1
    """How often each image comes within a shard, to see what near-duplicates do."""
    per_shard: int = 0
    """Images of a shard, for audits that take shards as clusters; 0: images as independent."""
    seed: int = 0
    """Seed of all draws."""
    out: str | None = None
    """Where the result also goes: a .json for machines or a .md for people, at any URL."""

    def __call__(self) -> None:
        from pipelines.power.plan import PowerPlan
        from pipelines.power.save import save, writable
        from pipelines.power.simulate import simulate
        from pipelines.power.tables import report

        if self.out:
            writable(self.out)
        images = tuple(usage(int, part) for part in names(self.images))
        effects = tuple(usage(float, part) for part in names(self.effects))
        given = {k: v for k, v in vars(self).items() if k != "out"}
        given |= {"images": images, "effects": effects, "of": names(self.of)}
        result = simulate(PowerPlan(**given))
        print("\n".join(report(result)))
        if self.out:
            save(result, self.out)

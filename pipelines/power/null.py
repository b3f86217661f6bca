"""False alarms: audits in which nothing changed."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.analyse.attribution import Criteria
from pipelines.power.draws import Sampling, chunks, passes, reduced
from pipelines.power.permuted import counted
from pipelines.power.population import Kind

LEVELS = (0.05, 0.01, 1e-3, 1e-4, 1e-5)
"""Of single tests, whose p-values must fall below each no more often than so."""


class Rate(NamedTuple):
    """How often an alarm was raised, and how often it may be."""

    what: str
    kind: str
    images: int
    baseline_images: int
    alpha: float
    floor: float
    simulated: int
    alarms: int
    promised: float | None
    """None where nothing is promised."""
    by_q: int | None = None
    """Alarms that there would be without permutations; None where they have no say."""


class Tail(NamedTuple):
    """How often the p of a single test falls below a level, over all tests."""

    kind: str
    images: int
    baseline_images: int
    level: float
    tests: int
    share: float


def null_audits(
    kind: Kind,
    baseline: Sampling,
    current: Sampling,
    criteria: Sequence[Criteria],
    simulations: int,
    rng: np.random.Generator,
) -> tuple[list[Rate], list[Tail]]:
    """Alarms by each of `criteria`, and how often single tests have p below each of LEVELS.

    What passes by q also goes through the permutations, as far as the kind has them.

    The search for causes, which only takes alarms away, is left out: what passes is an upper bound.
    """
    alarms: Counter[int] = Counter()
    sure: Counter[int] = Counter()
    below: Counter[float] = Counter()
    sides = baseline, current
    for some in chunks(simulations, baseline.images + current.images):
        one, other = (side.rows(rng, some, len(kind.values), None) for side in sides)
        effect = kind.test(
            reduced(kind.values, one, baseline), reduced(kind.values, other, current)
        )
        for i, each in enumerate(criteria):
            by_q = passes(effect, each)
            sure[i] += int(by_q.any(-1).sum())
            counts = counted(kind, by_q, effect, (one, other), sides, each)
            alarms[i] += int(counts.any(-1).sum())
        for level in LEVELS:
            below[level] += int((effect.p < level).sum())
    sizes = (current.images, baseline.images)
    rates = [
        Rate(
            "one audit",
            kind.name,
            *sizes,
            c.alpha,
            c.floor,
            simulations,
            alarms[i],
            c.alpha,
            sure[i] if kind.permuted else None,
        )
        for i, c in enumerate(criteria)
    ]
    tests = simulations * len(kind.members)
    tails = [Tail(kind.name, *sizes, level, tests, below[level] / tests) for level in LEVELS]
    return rates, tails

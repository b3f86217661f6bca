"""`nhd power`: simulate the audits of a plan: what they find, and what they raise falsely."""

from dataclasses import dataclass, replace

import numpy as np

from nhd_ops.shift import PROMISED, promised_effect
from pipelines.analyse.attribution import Criteria
from pipelines.io.store import Run
from pipelines.power.draws import Sampling, freedom
from pipelines.power.null import Rate, Tail, null_audits
from pipelines.power.overall import null_auc
from pipelines.power.plan import PowerPlan
from pipelines.power.planted import Planted, planted
from pipelines.power.population import Population, embeddings, population
from pipelines.power.rejects import rejects
from pipelines.power.series import null_series

PLAIN = (0.01, 0.05)
"""Alphas at which simulations of an affordable number can see whether p-values are honest."""
REPEATED = 0.01
"""Alpha of `nhd compare`, for audits repeated without spending."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """What came out."""

    plan: PowerPlan
    population: Population
    rates: list[Rate]
    """Of false alarms."""
    tails: list[Tail]
    """How often single tests fall below given p-values."""
    power: list[Planted]
    """By images, then by effect; the last of each is the one promised to be found in 80 %."""


def simulate(plan: PowerPlan) -> Simulated:
    """Draw from the run's rows; no model and no images are needed."""
    world = population(plan)
    rates, tails, power = [], [], []
    for turn, images in enumerate(plan.images):
        sides = _sides(plan, world, images)
        some, few = _audits(plan, world, sides, np.random.default_rng([plan.seed, turn, 0]))
        rates += some + _series(plan, world, sides, np.random.default_rng([plan.seed, turn, 1]))
        tails += few
        power += _power(plan, world, sides, np.random.default_rng([plan.seed, turn, 2]))
    return Simulated(plan, world, rates, tails, power)


def _sides(plan: PowerPlan, world: Population, images: int) -> tuple[Sampling, Sampling]:
    held = plan.baseline_images or world.images
    return (
        Sampling(held, plan.copies, plan.per_shard),
        Sampling(images, plan.copies, plan.per_shard),
    )


def _audits(
    plan: PowerPlan,
    world: Population,
    sides: tuple[Sampling, Sampling],
    rng: np.random.Generator,
) -> tuple[list[Rate], list[Tail]]:
    criteria = [plan.criteria, *(Criteria(alpha, 0.0) for alpha in PLAIN)]
    rates, tails = [], []
    counted = [rejects(Run(plan.run))] if "rejects" in plan.of else []
    for kind in (*world.kinds, *counted):
        found, below = null_audits(kind, *sides, criteria, plan.simulations, rng)
        rates += found
        tails += below
    if "auc" in plan.of:
        rates += null_auc(embeddings(plan), *sides, criteria, plan.simulations, rng)
    return rates, tails


def _series(
    plan: PowerPlan,
    world: Population,
    sides: tuple[Sampling, Sampling],
    rng: np.random.Generator,
) -> list[Rate]:
    """Series with spending, and, so that one sees what it is for, without; concepts and labels."""
    kinds = [kind for kind in world.kinds if kind.name in ("concepts", "labels")]
    share = plan.false_alarms * len(kinds) / plan.kinds
    variants = (
        ("", plan.alphas, min(plan.false_alarms, share)),
        (" without spending", (REPEATED,) * plan.audits, None),
    )
    rates = []
    for name, alphas, promised in variants if plan.series else ():
        found = null_series(kinds, *sides, alphas, plan.floor, plan.series, rng)
        rates += [
            Rate(
                what=f"series of {plan.audits}, {against}{name}",
                kind="+".join(kind.name for kind in kinds),
                images=sides[1].images,
                baseline_images=sides[0].images,
                alpha=alphas[-1],
                floor=plan.floor,
                simulated=plan.series,
                alarms=alarms.counted,
                promised=promised,
                by_q=alarms.by_q,
            )
            for against, alarms in found.items()
        ]
    return rates


def _power(
    plan: PowerPlan,
    world: Population,
    sides: tuple[Sampling, Sampling],
    rng: np.random.Generator,
) -> list[Planted]:
    kind, criteria = world["concepts"], plan.criteria
    promised = promised_effect(
        sides[0].effective,
        sides[1].effective,
        len(kind.members),
        criteria.alpha,
        floor=criteria.floor,
        freedom=freedom(*sides),
    )
    numbers = plan.simulations, plan.attributed
    cells = [planted(kind, d, *sides, criteria, *numbers, 0, rng) for d in plan.effects]
    last = planted(kind, promised, *sides, criteria, *numbers, plan.permuted, rng)
    return [*cells, replace(last, promised=PROMISED)]

"""False alarms: audits, and series of audits, in which nothing changed."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nhd_ops.shift import Effect, Summary
from pipelines.analyse.attribution import Criteria
from pipelines.power.draws import Sampling, chunks, passes, reduced
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

    The search for causes, which only takes alarms away, is left out: what passes is an upper bound.
    """
    alarms: Counter[int] = Counter()
    below: Counter[float] = Counter()
    for some in chunks(simulations, baseline.images + current.images):
        sides = [_drawn(kind, sampling, some, rng) for sampling in (baseline, current)]
        effect = kind.test(sides[0], sides[1])
        for i, each in enumerate(criteria):
            alarms[i] += int(passes(effect, each).any(-1).sum())
        for level in LEVELS:
            below[level] += int((effect.p < level).sum())
    sizes = (current.images, baseline.images)
    rates = [
        Rate("one audit", kind.name, *sizes, c.alpha, c.floor, simulations, alarms[i], c.alpha)
        for i, c in enumerate(criteria)
    ]
    tests = simulations * len(kind.members)
    tails = [Tail(kind.name, *sizes, level, tests, below[level] / tests) for level in LEVELS]
    return rates, tails


def null_series(
    kinds: Sequence[Kind],
    baseline: Sampling,
    current: Sampling,
    alphas: Sequence[float],
    floor: float,
    series: int,
    rng: np.random.Generator,
) -> dict[str, int]:
    """Series with any alarm in any kind: against one baseline, and against the previous audit.

    Args:
        alphas: of each audit and kind.
    """
    values = np.concatenate([kind.values for kind in kinds], axis=1)
    alarms: Counter[str] = Counter()
    for some in chunks(series, baseline.images + len(alphas) * current.images):
        first = reduced(values, baseline.rows(rng, some, len(values), None), baseline)
        rows = current.rows(rng, some * len(alphas), len(values), None)
        audits = _reshape(reduced(values, rows, current), (some, len(alphas), -1))
        held = _reshape(first, (some, 1, -1))
        before, after = _audits(audits, slice(None, -1)), _audits(audits, slice(1, None))
        start = _any(kinds, held, _audits(audits, slice(1)), alphas[:1], floor)
        moving = _any(kinds, before, after, alphas[1:], floor)
        alarms["one baseline"] += int(_any(kinds, held, audits, alphas, floor).sum())
        alarms["previous as baseline"] += int((start | moving).sum())
    return dict(alarms)


def _drawn(kind: Kind, sampling: Sampling, some: int, rng: np.random.Generator) -> Summary:
    rows = sampling.rows(rng, some, len(kind.values), None)
    return reduced(kind.values, rows, sampling)


def _reshape(found: Summary, shape: tuple[int, ...]) -> Summary:
    count = np.broadcast_to(found.count, found.mean.shape).reshape(shape)
    return Summary(count, found.mean.reshape(shape), found.variance.reshape(shape), found.freedom)


def _audits(found: Summary, audits: slice) -> Summary:
    return _at(found, (slice(None), audits))


def _part(found: Summary, columns: slice) -> Summary:
    return _at(found, (..., columns))


def _at(found: Summary, place: Any) -> Summary:
    count = np.broadcast_to(found.count, found.mean.shape)[place]
    return Summary(count, found.mean[place], found.variance[place], found.freedom)


def _any(
    kinds: Sequence[Kind], one: Summary, other: Summary, alphas: Sequence[float], floor: float
) -> np.ndarray:
    """[series] bool: an alarm in any audit and kind."""
    found, start = np.zeros(len(one.mean), bool), 0
    for kind in kinds:
        columns = slice(start, start := start + len(kind.members))
        effect = kind.test(_part(one, columns), _part(other, columns))
        for t, alpha in enumerate(alphas):
            each = Effect(*(part[:, t] for part in effect))
            found |= passes(each, Criteria(alpha, floor)).any(-1)
    return found

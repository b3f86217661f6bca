"""False alarms of a whole series of audits in which nothing changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nhd_ops.shift import Effect, Summary
from pipelines.analyse.attribution import Criteria
from pipelines.power.draws import Sampling, chunks, passes, reduced
from pipelines.power.permuted import counted
from pipelines.power.population import Kind


class Alarms(NamedTuple):
    """Series with any alarm."""

    counted: int
    by_q: int
    """What there would be without permutations."""


@dataclass(frozen=True, eq=False)
class _Audits:
    """One side of the audits of several series."""

    sampling: Sampling
    rows: np.ndarray
    """[series, T or 1, n]"""
    found: Summary
    """[series, T or 1, Q] of all kinds, side by side."""

    def only(self, audits: slice) -> "_Audits":
        """Some audits of every series."""
        place = (slice(None), audits)
        return _Audits(self.sampling, self.rows[place], _at(self.found, place))

    def of(self, series: np.ndarray, audit: int) -> np.ndarray:
        """[S,n] rows of one audit, or of the only one there is."""
        found: np.ndarray = self.rows[series, min(audit, self.rows.shape[1] - 1)]
        return found


def null_series(
    kinds: Sequence[Kind],
    baseline: Sampling,
    current: Sampling,
    alphas: Sequence[float],
    floor: float,
    series: int,
    rng: np.random.Generator,
) -> dict[str, Alarms]:
    """Series with any alarm in any kind: against one baseline, and against the previous audit.

    Args:
        alphas: of each audit and kind.
    """
    values = np.concatenate([kind.values for kind in kinds], axis=1)
    still, moving = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for some in chunks(series, baseline.images + len(alphas) * current.images):
        held = _drawn(values, baseline, some, 1, rng)
        audits = _drawn(values, current, some, len(alphas), rng)
        still += _any(kinds, held, audits, alphas, floor).sum(1)
        first = _any(kinds, held, audits.only(slice(1)), alphas[:1], floor)
        before, after = audits.only(slice(None, -1)), audits.only(slice(1, None))
        moving += (first | _any(kinds, before, after, alphas[1:], floor)).sum(1)
    found = {"one baseline": still, "previous as baseline": moving}
    return {name: Alarms(*map(int, both)) for name, both in found.items()}


def _drawn(
    values: np.ndarray, sampling: Sampling, some: int, audits: int, rng: np.random.Generator
) -> _Audits:
    rows = sampling.rows(rng, some * audits, len(values), None)
    found, shape = reduced(values, rows, sampling), (some, audits, -1)
    count = np.broadcast_to(found.count, found.mean.shape).reshape(shape)
    each = Summary(count, found.mean.reshape(shape), found.variance.reshape(shape), found.freedom)
    return _Audits(sampling, rows.reshape(shape), each)


def _at(found: Summary, place: Any) -> Summary:
    count = np.broadcast_to(found.count, found.mean.shape)[place]
    return Summary(count, found.mean[place], found.variance[place], found.freedom)


def _any(
    kinds: Sequence[Kind], one: _Audits, other: _Audits, alphas: Sequence[float], floor: float
) -> np.ndarray:
    """[2,series] bool: an alarm in any audit and kind, and one by q alone.

    A series that has its alarm is not permuted again.
    """
    alarm, by_q = np.zeros((2, len(one.rows)), bool)
    sides, start = (one.sampling, other.sampling), 0
    for kind in kinds:
        columns = (..., slice(start, start := start + len(kind.members)))
        effect = kind.test(_at(one.found, columns), _at(other.found, columns))
        for t, alpha in enumerate(alphas):
            criteria, each = Criteria(alpha, floor), Effect(*(part[:, t] for part in effect))
            passed = passes(each, criteria)
            by_q |= passed.any(-1)
            open_ = np.flatnonzero(passed.any(-1) & ~alarm)
            rows = one.of(open_, t), other.of(open_, t)
            seen = Effect(*(part[open_] for part in each))
            alarm[open_] = counted(kind, passed[open_], seen, rows, sides, criteria).any(-1)
    return np.stack([alarm, by_q])

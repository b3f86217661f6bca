"""Rejected samples as a population: every sample read, with the reason if it could not be used."""

from functools import lru_cache

import numpy as np
from scipy.stats import fisher_exact

from nhd_ops.shift import Effect, Summary, proportion_shift
from pipelines.errors import UsageError
from pipelines.io.store import Run
from pipelines.power.population import MOST_ROWS, Kind


def rejects(run: Run) -> Kind:
    """All rejects and those of each reason, as shares of the samples read.

    The reasons of one sample exclude each other. Shares keep to within 1 / MOST_ROWS.
    """
    records = run.records()
    read = sum(record["read"] for record in records)
    reasons: dict[str, int] = {}
    for record in records:
        for reason, count in record["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    if not reasons:
        raise UsageError(f"{run.url} rejected no sample, so there are no rejects to draw from")
    rows = min(read, MOST_ROWS)
    ends = np.round(np.cumsum(list(reasons.values())) * rows / read).astype(int)
    values, start = np.zeros((rows, 1 + len(reasons))), 0
    for column, end in enumerate(ends, 1):
        values[start:end, [0, column]] = 1
        start = end
    return Kind("rejects", ("all", *reasons), values, fisher_shift, values[..., None])


def fisher_shift(baseline: Summary, current: Summary) -> Effect:
    """Effects of shares with Fisher's p, as `pipelines.analyse.findings.reject_findings` has."""
    effect = proportion_shift(baseline, current)
    one, other = (np.rint(s.mean * s.count).astype(int) for s in (baseline, current))
    sizes = int(np.max(baseline.count)), int(np.max(current.count))
    p = [_fisher(int(a), int(b), *sizes) for a, b in zip(one.flat, other.flat, strict=True)]
    return effect._replace(p=np.array(p).reshape(effect.p.shape))


@lru_cache(maxsize=100_000)
def _fisher(one: int, other: int, n: int, m: int) -> float:
    return float(fisher_exact([[one, n - one], [other, m - other]]).pvalue)

"""Simulated audits whose rows go through the comparison's own permutations.

Most audits without change pass nothing by q, and need no more than sums. The rows of the few that
do are looked at as `nhd compare` would.
"""

import numpy as np

from nhd_ops.shift import Effect
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.permuted import confirmation
from pipelines.power.draws import Sampling
from pipelines.power.population import Kind


def family_of(
    kind: Kind, one: np.ndarray, other: np.ndarray, sides: tuple[Sampling, Sampling]
) -> Family:
    """The very images of an audit of rows [n] and [m], each as often as it comes, by shards."""
    rows = [np.repeat(r, s.copies) for r, s in zip((one, other), sides, strict=True)]
    codes = [s.clusters(len(r)) for r, s in zip((one, other), sides, strict=True)]
    known = None if codes[0] is None or codes[1] is None else (codes[0], codes[1])
    values, features = ([part[r] for r in rows] for part in (kind.values, kind.features))
    return Family(kind.members, values[0], values[1], features[0], features[1], kind.test, known)


def counted(
    kind: Kind,
    by_q: np.ndarray,
    effect: Effect,
    rows: tuple[np.ndarray, np.ndarray],
    sides: tuple[Sampling, Sampling],
    criteria: Criteria,
) -> np.ndarray:
    """[S,Q] bool: what counts in S audits of rows [S,n] and [S,m], of what passes by q [S,Q]."""
    found = by_q.copy()
    if kind.permuted:
        for s in np.flatnonzero(by_q.any(-1)):
            each = Effect(*(part[s] for part in effect))
            family = family_of(kind, rows[0][s], rows[1][s], sides)
            found[s] = confirmation(family, each, criteria).counts
    return found

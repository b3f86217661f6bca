"""Samples drawn from the population, many at once, reduced to what the tests need.

Drawing with replacement makes "nothing changed" exactly true, and a planted shift exactly d.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from nhd_ops.shift import Effect, Summary, false_discovery
from pipelines.analyse.attribution import Criteria

AT_ONCE = 4_000_000
"""Drawn images held in memory."""
WIDE = 500
"""Columns from which a dense product of counts is faster than one of single draws."""


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn."""

    images: int
    copies: int = 1
    """Each drawn image comes this often."""

    def rows(
        self, rng: np.random.Generator, samples: int, population: int, weights: np.ndarray | None
    ) -> np.ndarray:
        """[S,n] row numbers of the different images; by `weights` [N], else all alike."""
        shape = (samples, max(1, self.images // self.copies))
        if weights is None:
            return rng.integers(0, population, shape)
        ends = np.cumsum(weights)
        return np.minimum(np.searchsorted(ends / ends[-1], rng.random(shape)), population - 1)


def summaries(values: np.ndarray, rows: np.ndarray, copies: int = 1) -> Summary:
    """Summary of each sample: `nhd_ops.shift.summary` of values[rows[s]], repeated, for all s.

    Args:
        values: [N,V].
        rows: [S,n].
    """
    samples, drawn = rows.shape
    starts = np.arange(0, rows.size + 1, drawn)
    counts = sparse.csr_array(
        (np.ones(rows.size), rows.ravel(), starts), shape=(samples, len(values))
    )
    counts = counts.toarray() if values.shape[1] > WIDE else counts
    centre = values.mean(0)  # of the population: squares of what is near zero lose no digits
    centred = values - centre
    mean = counts @ centred / drawn
    squares = np.maximum(counts @ np.square(centred) / drawn - np.square(mean), 0)
    images = drawn * copies
    return Summary(float(images), centre + mean, squares * images / (images - 1))


def passes(effect: Effect, criteria: Criteria) -> np.ndarray:
    """[S,Q] bool: what passes in each of S audits, each with its own q-values.

    No q is below its p, so audits whose least p is too large are not looked at again.
    """
    found = np.zeros(effect.p.shape, bool)
    for s in np.flatnonzero(effect.p.min(-1) < criteria.alpha):
        found[s] = criteria.passes(effect.effect[s], false_discovery(effect.p[s]))
    return found


def chunks(total: int, images_each: int) -> Iterator[int]:
    """Numbers of simulations that fit in memory, adding up to `total`."""
    most = max(1, AT_ONCE // images_each)
    for start in range(0, total, most):
        yield min(most, total - start)

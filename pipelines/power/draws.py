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
    """Each drawn image comes this often, in one shard."""
    shard: int = 0
    """Images of a shard, where the audit knows that images of one shard depend on each other."""

    @property
    def effective(self) -> int:
        """How many independent images the audit takes the sample for."""
        return self.images // self.copies if self.shard else self.images

    @property
    def freedom(self) -> float:
        """Degrees of freedom of its mean, so taken."""
        return self.images / self.shard - 1 if self.shard else np.inf

    def clusters(self, different: int) -> np.ndarray | None:
        """[n] the shard of every image, copies included; None where images count as independent."""
        if not self.shard:
            return None
        found = np.arange(different) // max(1, self.shard // self.copies)
        return np.repeat(found, self.copies)

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


def reduced(values: np.ndarray, rows: np.ndarray, sampling: Sampling) -> Summary:
    """`summaries` of samples as the audit takes them: by shards, or with all images independent."""
    found = summaries(values, rows, sampling.copies)
    if not sampling.shard:
        return found
    samples, drawn = rows.shape
    starts = np.arange(0, drawn, max(1, sampling.shard // sampling.copies))
    sizes = np.diff([*starts, drawn])
    ends = (np.arange(samples)[:, None] * drawn + starts).ravel()
    member = sparse.csr_array(
        (np.ones(rows.size), rows.ravel(), [*ends, rows.size]),
        shape=(samples * len(starts), len(values)),
    )
    centre = values.mean(0)
    sums = (member @ (values - centre)).reshape(samples, len(starts), -1)
    off = (sums - sizes[:, None] * (found.mean - centre)[:, None]) / drawn
    groups = len(starts)
    robust = np.square(off).sum(1) * groups / (groups - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        design = np.where(
            found.variance > 0, np.maximum(robust * found.count / found.variance, 1), 1
        )
    freedom = float(1 / np.square(sizes / drawn).sum() - 1)
    return Summary(found.count / design, found.mean, found.variance, freedom)


def passes(effect: Effect, criteria: Criteria) -> np.ndarray:
    """[S,Q] bool: what passes in each of S audits, each with its own q-values.

    No q is below its p, so audits whose least p is too large are not looked at again.
    """
    found = np.zeros(effect.p.shape, bool)
    for s in np.flatnonzero(effect.p.min(-1) < criteria.alpha):
        found[s] = criteria.passes(effect.effect[s], false_discovery(effect.p[s]))
    return found


def freedom(one: Sampling, other: Sampling) -> float:
    """Welch's degrees of freedom of the difference of two samples of equal variance."""
    if not one.shard or not other.shard:
        return np.inf
    parts = 1 / one.effective, 1 / other.effective
    return float(sum(parts) ** 2 / (parts[0] ** 2 / one.freedom + parts[1] ** 2 / other.freedom))


def chunks(total: int, images_each: int) -> Iterator[int]:
    """Numbers of simulations that fit in memory, adding up to `total`."""
    most = max(1, AT_ONCE // images_each)
    for start in range(0, total, most):
        yield min(most, total - start)

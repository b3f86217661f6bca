"""Are the images of one cluster more alike than chance allows? (nhd_ops/README.md, section 6)"""

from __future__ import annotations

import numpy as np

from nhd_ops.clusters import Array, Codes, membership, ordered

SHUFFLES = 399
"""So that a level of 0.005 is met exactly: at most one shuffle of 399 may reach what was seen."""
MOST_IMAGES = 20_000
FEWEST_CLUSTERS = 8
"""Of a large side so many clusters are looked at or more, and of each an equal part."""


def alike_p(values: Array, clusters: Codes, seed: int = 0) -> float:
    """p of no dependence inside clusters, by all columns of values [n,Q] together.

    The statistic is Σ_g n_g ‖z̄_g‖² of the standardised values: large where the clusters' means
    differ by more than images shuffled between the clusters do. Of more than MOST_IMAGES images,
    whole clusters are taken in order of first appearance. 1 where there is one cluster only, or
    every image is its own, or nothing varies.
    """
    chosen = _some(ordered(clusters))
    z, codes = values[chosen], ordered(clusters[chosen])
    spread = z.std(0)
    z = ((z - z.mean(0))[:, spread > 0] / spread[spread > 0]).astype(np.float32)
    member = membership(codes).astype(np.float32)
    if member.shape[0] in (1, len(codes)) or z.shape[1] == 0:
        return 1.0
    scaled = member.multiply(1 / np.sqrt(np.asarray(member.sum(1)))).tocsr()
    seen = np.square(scaled @ z).sum() * (1 - 1e-6)
    rng = np.random.default_rng([seed, 3])
    reached = sum(
        np.square(scaled @ z[rng.permutation(len(z))]).sum() >= seen for _ in range(SHUFFLES)
    )
    return float(1 + reached) / (SHUFFLES + 1)


def uneven_p(events: Array, sizes: Array, seed: int = 0) -> float:
    """p of events spread over clusters as chance would: counts [G] of events, of [G] samples.

    The statistic is χ² of the rates; the events are dealt out again over all samples.
    """
    order = np.lexsort((events, sizes))  # so that names and order of the clusters do not matter
    counts, room = np.asarray(events, np.int64)[order], np.asarray(sizes, np.int64)[order]
    happened, whole = int(counts.sum()), int(room.sum())
    if len(room) < 2 or room.max() < 2 or happened in (0, whole):
        return 1.0  # nothing can gather
    counts, room = counts[room > 0], room[room > 0]
    expected = happened * room / whole

    def uneven(events: Codes) -> float:
        return float((np.square(events - expected) / expected).sum())

    rng, seen = np.random.default_rng([seed, 4]), uneven(counts) * (1 - 1e-9)
    reached = sum(  # one at a time: there may be as many clusters as images
        uneven(rng.multivariate_hypergeometric(room, happened, method="marginals")) >= seen
        for _ in range(SHUFFLES)
    )
    return float(1 + reached) / (SHUFFLES + 1)


def _some(codes: Codes) -> Codes:
    """Rows of the first clusters, of each the first part, until there are MOST_IMAGES."""
    if len(codes) <= MOST_IMAGES:
        return np.arange(len(codes))
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order])
    within = np.arange(len(codes)) - starts  # place of each row in its cluster
    kept = order[within < MOST_IMAGES // FEWEST_CLUSTERS]
    found: Codes = np.sort(kept[:MOST_IMAGES])
    return found

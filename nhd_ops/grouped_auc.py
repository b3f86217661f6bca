"""Scores that come in clusters: folds of whole clusters, and the error of a sum by clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nhd_ops.clusters import Array, Codes, membership


def cluster_folds(baseline: Codes, current: Codes, folds: int) -> tuple[Codes, Codes]:
    """The fold of every image, 0 to at most folds - 1, such that no cluster is in two.

    The largest cluster first, each goes where it fills up most evenly; one that is on both sides is
    in the same fold on both. Every fold has images of both sides; where clusters do not allow so
    many folds, there are fewer.

    Raises:
        ValueError: not even two folds are possible.
    """
    names, inverse = np.unique(np.concatenate([baseline, current]), return_inverse=True)
    parts = np.split(inverse, [len(baseline)])
    sizes = np.stack([np.bincount(p, minlength=len(names)) for p in parts])  # [2,G]
    order = np.lexsort((np.minimum(*(_first(p, len(names)) for p in parts)), -sizes.sum(0)))
    for count in range(min(folds, *(int((s > 0).sum()) for s in sizes)), 1, -1):
        of, filled = _dealt(sizes / sizes.sum(1, keepdims=True), order, count)
        if filled.min() > 0:
            return of[parts[0]], of[parts[1]]
    raise ValueError("The clusters cannot be cut into folds that each have images of both sides.")


def _dealt(share: Array, order: Codes, count: int) -> tuple[Codes, Array]:
    """The fold [G] of every cluster, and how full of both sides [count,2] the folds are."""
    filled, of = np.zeros((count, 2)), np.zeros(len(order), np.int64)
    for cluster in order:
        of[cluster] = np.argmin(np.round(filled @ share[:, cluster], 12))
        filled[of[cluster]] += share[:, cluster]
    return of, filled


def _first(codes: Codes, groups: int) -> Codes:
    """[G] where each cluster appears first; the number of rows where it does not."""
    found = np.full(groups, len(codes))
    np.minimum.at(found, codes, np.arange(len(codes)))
    return found


def grouped_error(deviations: Sequence[Array], clusters: Sequence[Codes]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum over all images of both sides, by clusters.

    Clusters on both sides count as two: taken as one, what they share would cancel, so the error
    is rather too large.

    Args:
        deviations: of each side, every image's part in the estimate less its expectation.
    """
    variance, freedom = 0.0, np.inf
    for part, codes in zip(deviations, clusters, strict=True):
        member = membership(codes)
        groups, sizes = member.shape[0], np.asarray(member.sum(1)).ravel()
        variance += float(np.square(member @ part).sum()) * groups / (groups - 1)
        freedom = min(freedom, float(sizes.sum() ** 2 / np.square(sizes).sum() - 1))
    return float(np.sqrt(variance)), freedom

"""Images that belong together: what a mean of dependent images is worth.

Near-duplicates, crops of one image and frames of one video say the same thing several times. Where
they lie in one cluster, the spread of the clusters' totals tells how sure a mean is, whatever the
images inside a cluster do to each other (nhd_ops/README.md, section 6). Arrays are numpy, fp64;
clusters are given as one whole number per image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


class Design(NamedTuple):
    """What clustering costs the mean of n images."""

    effect: Array
    """Design effect [...]: n images know their mean as well as n/effect independent ones; ≥ 1."""
    freedom: float
    """Degrees of freedom of that: the effective number of clusters, less one."""


class Totals(NamedTuple):
    """Some numbers added up by cluster; all that means, variances and resamples of them need."""

    sizes: Array
    """[G] images in each cluster."""
    sums: Array
    """[G,Q]"""
    squares: Array
    """[G,Q], Σ x²."""


def ordered(clusters: Codes) -> Codes:
    """The same clusters numbered 0, 1, .. by first appearance."""
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    found: Codes = place[inverse]
    return found


def merged(clusters: Codes, most: int) -> Codes:
    """At most `most` clusters: as many as needed join, in order of first appearance.

    Unions of independent clusters are independent, so what holds for clusters holds for them.
    """
    codes = ordered(clusters)
    found: Codes = codes // -(-(int(codes.max()) + 1) // most)
    return found


def membership(clusters: Codes) -> sparse.csr_matrix:
    """[G,n], 1 where an image (column) is in a cluster (row, by first appearance)."""
    codes = ordered(clusters)
    places = np.arange(len(codes))
    return sparse.csr_matrix((np.ones(len(codes)), (codes, places)))


def design(values: Array, clusters: Codes, weights: Array | None = None) -> Design:
    """The design effect of the mean of values [n,...] over their first axis.

    The cluster-robust variance of the mean, G/(G-1) Σ_g (Σ_{i∈g} w_i (x_i - x̄))² with Σ w = 1
    (Liang and Zeger, 1986), over the same with every image its own cluster. Never below 1: that
    clusters happen to agree makes nothing surer. 1 where nothing varies. The effective number of
    clusters is Kish's, (Σ W_g)²/Σ W_g² of the clusters' weights.

    Raises:
        ValueError: there are fewer than two clusters.
    """
    n = len(values)
    flat = np.asarray(values, dtype=np.float64).reshape(n, -1)
    share = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    residual = share[:, None] * (flat - share @ flat)  # [n,Q]
    member = membership(clusters)
    groups = member.shape[0]
    if groups < 2:
        raise ValueError("One cluster says nothing about how much clusters vary: two are needed.")
    rows = np.square(residual).sum(0) * n / (n - 1)
    robust = np.square(member @ residual).sum(0) * groups / (groups - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(rows > 0, np.maximum(robust / rows, 1.0), 1.0)
    parts = member @ share
    return Design(effect.reshape(np.shape(values)[1:]), float(1 / np.square(parts).sum() - 1))


def totals(values: Array, clusters: Codes) -> Totals:
    """Values [n,Q] added up by cluster, in order of first appearance."""
    member = membership(clusters)
    sizes = np.asarray(member.sum(1)).ravel()
    return Totals(sizes, member @ values, member @ np.square(values))


def canonical(one: Array, other: Array) -> bool:
    """Is `one` the first by a rule that looks at the values only?

    So random draws belong to the data: swapping the sides swaps them too.
    """
    return (len(one), float(one.sum())) <= (len(other), float(other.sum()))


def counted_design(events: Array, sizes: Array) -> Design:
    """`design` of a rate, from the events [G] and samples [G] of every cluster."""
    n, groups = float(np.sum(sizes)), len(sizes)
    if groups < 2:
        raise ValueError("One cluster says nothing about how much clusters vary: two are needed.")
    rate = float(np.sum(events)) / n
    rows = rate * (1 - rate) / (n - 1)
    robust = np.square(events - rate * sizes).sum() / n**2 * groups / (groups - 1)
    effect = max(robust / rows, 1.0) if rows > 0 else 1.0
    return Design(np.array(effect), float(n**2 / np.square(sizes).sum() - 1))

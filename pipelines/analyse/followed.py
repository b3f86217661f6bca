"""Which concept a pair's coefficient follows most closely, from the exact co-moments of a run."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from nhd_ops.moments import Moments


class Comoments(NamedTuple):
    """Centred sums over some images; those of several runs add up, within each run's own mean."""

    together: np.ndarray
    """[P], of similarity times coefficient."""
    own: np.ndarray
    """[1], of squared similarities."""
    pairs: np.ndarray
    """[P], of squared coefficients."""


def comoments(moments: Moments, concept: int) -> Comoments:
    """Of one concept of a run, by its place among the run's concepts."""
    found = moments.concepts
    together = found.comoment[concept].flatten().double().numpy()
    own = np.array([float(found.m2[concept])])
    return Comoments(together, own, moments.pairs.m2.flatten().double().numpy())


def correlation(together: np.ndarray, own: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Pearson's r of `Comoments`: [P]; 0 where something does not vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        r: np.ndarray = np.nan_to_num(together / np.sqrt(own * pairs), posinf=0, neginf=0)
    return r


def closest(each: Iterable[np.ndarray], pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the r [P] of each concept the one of largest |r|, and which concept: [P] each.

    The first in a tie; r is 0 where a pair follows none.
    """
    best, where = np.zeros(pairs), np.zeros(pairs, np.int64)
    for i, r in enumerate(each):
        closer = np.abs(r) > np.abs(best)
        best, where = np.where(closer, r, best), np.where(closer, i, where)
    return best, where

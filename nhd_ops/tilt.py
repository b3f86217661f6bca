"""Plant a shift of known size: weights on rows under which one quantity has moved by d.

Exponential tilting, w ∝ exp(λx), is of all weightings that move the mean of x this far the one
nearest to equal weights (least Kullback-Leibler divergence; Csiszár, 1975, Annals of Probability
3(1)). So nothing is planted but what the move of x itself asks for, and all that goes with x in the
rows is dragged along as it really would be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]
STEEPEST = 200.0
"""Largest |λ|, per standard deviation of x, that is tried."""


def tilted(x: Array, d: float) -> Array:
    """Weights [n], adding up to 1, under which x [n] differs from equal weights by Cohen's d.

    d is that of `nhd_ops.shift.mean_shift` on the two populations: the difference of means over the
    root of the mean of both variances.

    Raises ValueError where x does not vary, or no tilting moves it so far.
    """
    if x.std() == 0:
        raise ValueError("this quantity is the same on all rows, so no shift can be planted in it")
    z = (x - x.mean()) / x.std()
    end = np.sign(d)
    while (reached := float(moved(z, _weights(z, end))) * np.sign(d)) < abs(d):
        end *= 2
        if abs(end) > STEEPEST:
            raise ValueError(
                f"no weighting of these {len(x)} rows moves this quantity by {d:g} standard "
                f"deviations; {reached:.2g} is reached"
            )
    found = brentq(lambda slope: float(moved(z, _weights(z, slope))) - d, 0.0, end, xtol=1e-14)
    return _weights(z, found)


def moved(values: Array, weights: Array) -> Array:
    """[...]: d of every column of values [n,...] between equal weights and `weights` [n]."""
    mean = values.mean(0)
    other = np.tensordot(weights, values, 1)
    variance = np.tensordot(weights, np.square(values - other), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = (other - mean) / np.sqrt((values.var(0) + variance) / 2)
    found: Array = np.where(other == mean, 0.0, d)
    return found


def _weights(z: Array, slope: float) -> Array:
    powers = np.exp(slope * z - (slope * z).max())
    shares: Array = powers / powers.sum()
    return shares

"""Histograms over fixed signed-logarithmic bins, and what follows from two of them.

The edges are ±2^k for k = -16..6 and 0, the same for every pair, run and project, so any two
histograms can be added or compared. A bin is an octave: quantiles and distances are known to a
factor of two in the value at worst, and much better where the mass is spread over bins.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

LOWEST, HIGHEST = -16, 6
POSITIVE_EDGES = tuple(2.0**k for k in range(LOWEST, HIGHEST + 1))
EDGES = (*(-edge for edge in reversed(POSITIVE_EDGES)), 0.0, *POSITIVE_EDGES)
"""47 edges; bin i lies between EDGES[i-1] and EDGES[i], the two end bins are open."""
BINS = len(EDGES) + 1
OUTER = 2.0 ** (HIGHEST + 1)
"""The open end bins are taken to reach to ±OUTER wherever a position inside them is needed."""
IMAGES_AT_ONCE = 32


def bin_of(values: Tensor) -> Tensor:
    """The bin of each value, int64, same shape; exact, from the bits of its float32 exponent.

    Zero falls in the first bin above zero, a value equal to an edge in the bin further from zero.
    """
    # Adding zero turns -0.0 into 0.0.
    bits = (values.float() + 0.0).contiguous().view(torch.int32)
    return _bins(values.device)[(bits >> 23) & 0x1FF]


@functools.cache
def _bins(device: torch.device) -> Tensor:
    """The bin of every sign and exponent of a float32: [512] int64."""
    exponent = torch.arange(256) - 127  # floor(log2|x|), or -127 for zero and subnormals
    octave = (exponent - LOWEST + 1).clamp(0, HIGHEST - LOWEST + 1)
    upper = len(POSITIVE_EDGES) + 1
    return torch.cat([upper + octave, upper - 1 - octave]).to(device)


def histogram_of(values: Tensor) -> Tensor:
    """Count each unit's values: [B,...] → [...,48] int32 (good for 2·10⁹ images)."""
    units = values.shape[1:]
    counts = torch.zeros(units.numel() * BINS, dtype=torch.int32, device=values.device)
    first = torch.arange(units.numel(), device=values.device) * BINS  # [U]
    for block in torch.split(values.flatten(1), IMAGES_AT_ONCE):
        places = (bin_of(block) + first).flatten()
        counts.index_add_(0, places, torch.ones_like(places, dtype=torch.int32))
    return counts.view(*units, BINS)


def quantiles(histogram: Tensor, probabilities: Tensor) -> Tensor:
    """Quantiles by linear interpolation inside bins; NaN where a histogram is empty.

    Args:
        histogram: [...,48] counts.
        probabilities: [n] in [0,1].
    Returns:
        [...,n] fp64, in units of the values.
    """
    cumulative = _cumulative(histogram)  # [...,48]
    # Above zero, so that the 0-quantile is the lower bound of the first bin that is not empty.
    wanted = probabilities.to(cumulative).clamp_min(1e-300)
    wanted = wanted.expand(*cumulative.shape[:-1], -1).contiguous()
    index = torch.searchsorted(cumulative, wanted).clamp_max(BINS - 1)  # [...,n]
    before = torch.nn.functional.pad(cumulative, (1, 0))  # [...,49]
    low, high = before.gather(-1, index), before.gather(-1, index + 1)
    bounds = histogram.new_tensor((-OUTER, *EDGES, OUTER), dtype=torch.float64)  # [49]
    inside = ((wanted - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
    found = bounds[index] + inside * (bounds[index + 1] - bounds[index])
    return torch.where(cumulative[..., -1:].isnan(), torch.nan, found)


def psi(baseline: Tensor, current: Tensor, pseudo_count: float = 0.5) -> Tensor:
    """Population stability index Σ (q-p) ln(q/p): two [...,48] → [...].

    `pseudo_count` is added to every bin, so that a bin empty on one side does not give infinity.
    """
    p, q = baseline.double() + pseudo_count, current.double() + pseudo_count
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    return ((q - p) * (q / p).log()).sum(-1)


def ks(baseline: Tensor, current: Tensor) -> Tensor:
    """Kolmogorov-Smirnov distance: two [...,48] → [...]; at the edges, so never above the exact."""
    return (_cumulative(current) - _cumulative(baseline)).abs().amax(-1)


def wasserstein(baseline: Tensor, current: Tensor) -> Tensor:
    """First Wasserstein distance with each bin's mass at its midpoint: two [...,48] → [...].

    In units of the values. Each value counts as its bin's midpoint, which is off by at most half
    of the value (by 2⁻¹⁷ between the two innermost edges; end bins reach to ±OUTER).
    """
    bounds = baseline.new_tensor((-OUTER, *EDGES, OUTER), dtype=torch.float64)
    midpoints = (bounds[1:] + bounds[:-1]) / 2  # [48]
    gaps = (_cumulative(current) - _cumulative(baseline)).abs()[..., :-1]  # [...,47]
    return (gaps * midpoints.diff()).sum(-1)


def _cumulative(counts: Tensor) -> Tensor:
    """The share of values at or below each bin: [...,48], the last is exactly 1; NaN if empty."""
    counts = counts.double()
    return counts.cumsum(-1) / counts.sum(-1, keepdim=True)

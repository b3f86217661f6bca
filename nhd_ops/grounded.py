"""Grounded concept scores: a few pairs that follow a concept on images, weighted to rebuild it.

Source: nhd_ops/README.md, section 6.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Grounded(NamedTuple):
    """For each concept, the pairs that stand for it and how much each counts."""

    pairs: Tensor
    """[Q,k] int64, the one of largest weight first; places of weight 0 are unused."""
    weights: Tensor
    """[Q,k] fp32, ≥ 0: similarity (a cosine) per standard deviation of the coefficient."""


def scores(coefficients: Tensor, grounded: Grounded, mean: Tensor, deviation: Tensor) -> Tensor:
    """[B,Q]: the image's similarity to each concept, less its mean, as its pairs rebuild it.

    Args:
        coefficients: [B,H,C].
        mean, deviation: [H,C], of the coefficients over the reference sample; a pair that did not
            vary there counts nothing.
    """
    chosen, weights = grounded
    flat = deviation.flatten().to(coefficients)[chosen]  # [Q,k]
    scale = (weights.to(coefficients) / flat.where(flat > 0, 1)).where(flat > 0, 0)
    centred = coefficients.flatten(1)[:, chosen] - mean.flatten().to(coefficients)[chosen]
    return (centred * scale).sum(-1)

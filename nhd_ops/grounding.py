"""From moments of candidates to grounded pairs: how many, and how much each counts.

For each concept the similarity is rebuilt from its first k candidates by non-negative least
squares. k comes from a ladder: the smallest whose held-out correlation lies within one standard
error of the best (L. Breiman et al., *Classification and Regression Trees*, 1984, section 3.4.3).
Source: nhd_ops/README.md, section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops.candidates import FLAT, Candidates
from nhd_ops.grounded import Grounded
from nhd_ops.nonnegative import nonnegative_least_squares
from nhd_ops.second_moments import SecondMoments, pooled

LADDER = (5, 10, 20, 40)


class Choice(NamedTuple):
    """How well each number of candidates does on images it was not fitted on, and which is taken.

    The similarity's correlation with what rebuilds it; 0 where nothing does.
    """

    ladder: tuple[int, ...]
    """S numbers of candidates."""
    held_out: Tensor
    """[Q,S] fp64, the mean over folds of the correlation in a fold that was left out."""
    error: Tensor
    """[Q,S] fp64, the standard error of that mean."""
    step: Tensor
    """[Q] int64, the place in the ladder that is taken."""


def ladder_of(candidates: int) -> tuple[int, ...]:
    """LADDER as far as there are candidates, and their number itself."""
    return (*(k for k in LADDER if k < candidates), candidates)


def choose(moments: SecondMoments, ladder: tuple[int, ...]) -> Choice:
    """Fit on all folds but one, judge on that one, for each fold and number of candidates."""
    folds = range(len(moments.images))
    found = []
    for fold in folds:
        train = pooled(moments, [other for other in folds if other != fold])
        test = pooled(moments, [fold])
        found.append(torch.stack([held_out(test, fitted(train, k)) for k in ladder], dim=1))
    r = torch.stack(found)  # [F,Q,S]
    mean, error = r.mean(0), r.std(0) / len(folds) ** 0.5
    best = mean.argmax(1, keepdim=True)
    enough = mean >= (mean - error).gather(1, best)
    return Choice(ladder, mean, error, enough.int().argmax(1))


def fitted(moments: SecondMoments, k: int) -> Tensor:
    """Weights [Q,V-1] fp64 ≥ 0 of the candidates, per unit of the coefficient; 0 beyond the k-th.

    Args:
        moments: of a single fold (`pooled`).
    """
    gram, target, deviation = _standardised(moments)
    weights = torch.zeros_like(target)
    weights[:, :k] = nonnegative_least_squares(gram[:, :k, :k], target[:, :k])
    return torch.where(deviation > 0, weights / torch.where(deviation > 0, deviation, 1), 0.0)


def held_out(moments: SecondMoments, weights: Tensor) -> Tensor:
    """[Q]: the correlation of Σ weights · x with the similarity in a fold; 0 where either is flat.

    Args:
        weights: [Q,V-1], of `fitted`.
    """
    comoment = moments.comoment[0]
    among, against, own = comoment[:, :-1, :-1], comoment[:, :-1, -1], comoment[:, -1, -1]
    shared = (weights * against).sum(1)
    spread = (weights * (among @ weights[..., None]).squeeze(-1)).sum(1)
    r = shared / (spread.clamp_min(0) * own).sqrt()
    return torch.where(r.isfinite(), r, 0.0).clamp(-1, 1)


def ground(
    candidates: Candidates, moments: SecondMoments, choice: Choice, deviation: Tensor
) -> Grounded:
    """The pairs of non-zero weight, fitted on all folds with the chosen number of candidates.

    Args:
        deviation: [H,C], what `grounded.scores` will divide coefficients by.
    """
    total = pooled(moments, list(range(len(moments.images))))
    each = torch.stack([fitted(total, k) for k in choice.ladder], dim=1)  # [Q,S,K]
    weights = each[torch.arange(len(each)), choice.step]
    weights = weights * deviation.flatten().double()[candidates.pairs]
    weights, order = weights.sort(dim=1, descending=True, stable=True)
    most = max(1, int((weights > 0).sum(1).max())) if len(weights) else 0
    pairs = candidates.pairs.gather(1, order)
    return Grounded(pairs[:, :most].contiguous(), weights[:, :most].float().contiguous())


def _standardised(moments: SecondMoments) -> tuple[Tensor, Tensor, Tensor]:
    """Gram of the standardised candidates, their product with the similarity, their deviations."""
    images, mean, comoment = moments.images[0], moments.mean[0], moments.comoment[0]
    square = comoment.diagonal(dim1=-2, dim2=-1)[:, :-1] / images
    varies = square > FLAT * mean[:, :-1].square()
    deviation = torch.where(varies, square, 0.0).sqrt()  # [Q,K]
    inverse = torch.where(varies, 1 / torch.where(varies, deviation, 1), 0.0)
    gram = comoment[:, :-1, :-1] * inverse[:, :, None] * inverse[:, None, :] / images
    return gram, comoment[:, :-1, -1] * inverse / images, deviation

"""Classifiers that tell the two sides apart: as one headline number, and to weigh them equal."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from nhd_ops.grouped_auc import cluster_folds, grouped_error
from nhd_ops.shift import Auc, delong, placements

FOLDS = 5
RIDGE = 0.01
"""C of the classifier on embeddings: strong, because widths reach 1,024 and samples hundreds."""
KNOTS = 9
"""Where the density ratio may bend, over the ranks of a feature; linear between."""


# Products of a tall, narrow matrix gain nothing from threads, and where another job shares the
# cores, threads that wait for each other take sixty times as long.
alone = threadpool_limits.wrap(limits=1, user_api="blas")


class CrossFitted(NamedTuple):
    """What classifiers say of images that they were not fitted on."""

    auc: Auc
    baseline: np.ndarray
    """[n] log odds of being of the current side; of different fits, so a little off each other."""
    current: np.ndarray
    """[m]"""


def cross_fitted_auc(
    baseline: np.ndarray,
    current: np.ndarray,
    clusters: tuple[np.ndarray, np.ndarray] | None = None,
) -> Auc:
    """The AUC of `cross_fitted` alone."""
    return cross_fitted(baseline, current, clusters).auc


@alone
def cross_fitted(
    baseline: np.ndarray,
    current: np.ndarray,
    clusters: tuple[np.ndarray, np.ndarray] | None = None,
) -> CrossFitted:
    """How well unseen embeddings [n,D] and [m,D] reveal their side: 0.5 not at all, 1 always.

    A logistic regression on standardised embeddings, five folds; AUC and DeLong's error are taken
    within folds and averaged, because scores of different fits do not share a scale. Row i is in
    fold i mod 5 on its side, so an image that both sides have in the same place meets itself in
    no training set. With clusters a whole cluster, on both sides, is in one fold: near-duplicates
    on both sides of a fold's border would make sides of one distribution look different.
    """
    if clusters is not None:
        return _clustered(baseline, current, clusters)
    rows = [np.arange(len(side)) % FOLDS for side in (baseline, current)]
    scores = _scores(baseline, current, rows)
    parts = [delong(*(s[r == f] for s, r in zip(scores, rows, strict=True))) for f in range(FOLDS)]
    error = np.sqrt(sum(part.error**2 for part in parts)) / FOLDS
    auc = Auc(float(np.mean([part.auc for part in parts])), float(error) * _shared(FOLDS))
    return CrossFitted(auc, *scores)


def _scores(
    baseline: np.ndarray, current: np.ndarray, folds: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """[n] and [m]: every row's score by the classifier of the other folds."""
    scores = [np.zeros(len(side)) for side in (baseline, current)]
    for fold in range(int(folds[0].max()) + 1):
        held = [f == fold for f in folds]
        for into, rows, part in zip(scores, held, _held_out(baseline, current, *held), strict=True):
            into[rows] = part
    return scores


def _shared(folds: int) -> float:
    """By how much folds that share training data widen the error of their mean.

    The variance 1/F of a mean of F independent folds becomes 1/F + n_test/n_train (Nadeau and
    Bengio, 2003, Machine Learning 52). Without it, sides of one distribution gave errors that were
    too small by 1.3 to 1.4.
    """
    return float(np.sqrt(1 + folds / (folds - 1)))


def _clustered(
    baseline: np.ndarray, current: np.ndarray, clusters: tuple[np.ndarray, np.ndarray]
) -> CrossFitted:
    """Folds of whole clusters; the error is that of the placements, by clusters.

    A placement is the share of the other side's scores that an image's score beats (DeLong), so
    their mean is the AUC.
    """
    folds = cluster_folds(*clusters, FOLDS)
    used = int(folds[0].max()) + 1
    placed = [np.zeros(len(side)) for side in (baseline, current)]
    weight = [1 / (used * np.bincount(f)[f]) for f in folds]
    scores = _scores(baseline, current, folds)
    for fold in range(used):
        held = [f == fold for f in folds]
        parts = placements(*(s[h] for s, h in zip(scores, held, strict=True)))
        for into, rows, part in zip(placed, held, parts, strict=True):
            into[rows] = part
    auc = float(weight[0] @ placed[0])
    deviations = [w * (p - auc) for w, p in zip(weight, placed, strict=True)]
    error, freedom = grouped_error(deviations, clusters)
    return CrossFitted(Auc(auc, error * _shared(used), freedom), *scores)


def _held_out(
    baseline: np.ndarray, current: np.ndarray, *held: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the held-out rows of both sides by a classifier of the others."""
    x = np.concatenate([baseline[~held[0]], current[~held[1]]])
    y = np.repeat([0, 1], [np.sum(~held[0]), np.sum(~held[1])])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=RIDGE, class_weight="balanced", max_iter=1000)
    ).fit(x, y)
    return model.decision_function(baseline[held[0]]), model.decision_function(current[held[1]])


@alone
def overlap_weights(baseline: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights under which features [n,F] and [m,F] are distributed alike on both sides.

    Each row weighs as much as the probability of the *other* side given its features (Li, Morgan
    and Zaslavsky, 2018, JASA 113): bounded, symmetric in the sides, and balanced in the mean of
    every feature of the model. The log odds are piecewise linear in the rank of each feature.
    """
    x = _hats(np.concatenate([baseline, current]))
    y = np.repeat([0, 1], [len(baseline), len(current)])
    model = LogisticRegression(
        C=100.0, class_weight="balanced", solver="newton-cholesky", max_iter=200, tol=1e-8
    ).fit(x, y)
    of_current = model.predict_proba(x)[:, 1]
    return of_current[y == 0], 1 - of_current[y == 1]


def _hats(features: np.ndarray) -> np.ndarray:
    """Ranks in [0,1] of each column, expanded in hat functions; ties share a rank."""
    ranks = (rankdata(features, axis=0) - 0.5) / len(features)
    knots = np.linspace(0, 1, KNOTS)[:, None].repeat(features.shape[1], axis=1)
    transformer = SplineTransformer(knots=knots, degree=1, include_bias=False)
    hats: np.ndarray = transformer.fit_transform(ranks)
    return hats

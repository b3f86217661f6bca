"""Classifiers that tell the two sides apart: as one headline number, and to weigh them equal."""

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from nhd_ops.shift import Auc, delong

FOLDS = 5
RIDGE = 0.01
"""C of the classifier on embeddings: strong, because widths reach 1,024 and samples hundreds."""
KNOTS = 9
"""Where the density ratio may bend, over the ranks of a feature; linear between."""


# Products of a tall, narrow matrix gain nothing from threads, and where another job shares the
# cores, threads that wait for each other take sixty times as long.
alone = threadpool_limits.wrap(limits=1, user_api="blas")


@alone
def cross_fitted_auc(baseline: np.ndarray, current: np.ndarray) -> Auc:
    """How well unseen embeddings [n,D] and [m,D] reveal their side: 0.5 not at all, 1 always.

    A logistic regression on standardised embeddings, five folds; AUC and DeLong's error are taken
    within folds and averaged, because scores of different fits do not share a scale. Row i is in
    fold i mod 5 on its side, so an image that both sides have in the same place meets itself in
    no training set.
    """
    parts = [_fold(baseline, current, fold) for fold in range(FOLDS)]
    error = np.sqrt(sum(part.error**2 for part in parts)) / FOLDS
    return Auc(float(np.mean([part.auc for part in parts])), float(error))


def _fold(baseline: np.ndarray, current: np.ndarray, fold: int) -> Auc:
    held = [np.arange(len(side)) % FOLDS == fold for side in (baseline, current)]
    x = np.concatenate([baseline[~held[0]], current[~held[1]]])
    y = np.repeat([0, 1], [np.sum(~held[0]), np.sum(~held[1])])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=RIDGE, class_weight="balanced", max_iter=1000)
    ).fit(x, y)
    scores = [model.decision_function(s[h]) for s, h in zip((baseline, current), held, strict=True)]
    return delong(scores[0], scores[1])


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

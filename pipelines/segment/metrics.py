"""How well maps of class ids agree with the truth: confusion matrices, which add up, and scores.

Letters: S settings, P classes. Truth in rows, prediction in columns.
"""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


class Scores(NamedTuple):
    """What a confusion matrix says; NaN where a class, or all, cannot be judged."""

    iou: Numbers
    """[...,P] intersection over union of the class's pixels in truth and prediction."""
    accuracy: Numbers
    """[...,P] the part of the class's true pixels that are predicted as it."""
    mean_iou: Numbers
    """[...] over the classes that occur in truth or prediction."""
    mean_accuracy: Numbers
    """[...] over the classes that occur in the truth."""
    pixel_accuracy: Numbers
    """[...] the part of all pixels that are right."""


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Counts:
    """[P,P] pixels by true and predicted class.

    Args:
        truth: any shape, ids; what is not in 0..P-1 counts for nothing.
        predicted: the same shape, ids in 0..P-1.
    """
    known = (truth >= 0) & (truth < classes)
    places = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def scores(counts: Counts) -> Scores:
    """Scores of [...,P,P] confusion matrices."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true = counts.sum(-1)
    iou = ratio(hits, true + counts.sum(-2) - hits)
    accuracy = ratio(hits, true)
    right = ratio(hits.sum(-1), true.sum(-1))
    return Scores(iou, accuracy, mean(iou), mean(accuracy), right)


def ratio(part: NDArray[np.number], whole: NDArray[np.number]) -> Numbers:
    """Elementwise; NaN where the whole is 0."""
    empty = np.full(np.broadcast(part, whole).shape, np.nan)
    return np.divide(part, whole, out=empty, where=np.asarray(whole) != 0)


def mean(values: Numbers) -> Numbers:
    """Over the last axis, without what is NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, as it should be
        found: Numbers = np.nanmean(values, axis=-1)
    return found

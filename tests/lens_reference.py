"""Slow, literal twins of the choosing and weighting of grounded concept pairs, image by image."""

from __future__ import annotations

import itertools

import numpy as np


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; 0 where either does not vary."""
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / size) if size > 1e-12 else 0.0


def candidates(
    s: np.ndarray, directions: np.ndarray, texts: np.ndarray, similarity: np.ndarray, k: int
) -> list[list[int]]:
    """Pairs by rank for each concept: s [B,P], u [P,D], t [Q,D], similarity [B,Q]."""
    mean = texts.mean(0)
    found = []
    for text, values in zip(texts, similarity.T, strict=True):
        centred = text - mean if np.linalg.norm(text - mean) > 1e-6 else text
        r = [correlation(s[:, pair], values) for pair in range(s.shape[1])]
        fit = [p for p in range(s.shape[1]) if directions[p] @ centred > 0 and r[p] > 0]
        found.append(sorted(fit, key=lambda pair, r=r: -r[pair])[:k])
    return found


def nonnegative(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares over every subset of columns; the best whose weights are all positive."""
    best, error = np.zeros(z.shape[1]), float((y**2).sum())
    for size in range(1, z.shape[1] + 1):
        for chosen in itertools.combinations(range(z.shape[1]), size):
            columns = list(chosen)
            weights = np.linalg.lstsq(z[:, columns], y, rcond=None)[0]
            left = float(((y - z[:, columns] @ weights) ** 2).sum())
            if (weights > 0).all() and left < error - 1e-12:
                best, error = np.zeros(z.shape[1]), left
                best[columns] = weights
    return best


def held_out(x: np.ndarray, y: np.ndarray, fold: np.ndarray, k: int) -> list[float]:
    """The correlation in each fold after fitting the first k columns on the other folds."""
    found = []
    for one in sorted(set(fold.tolist())):
        train, test = fold != one, fold == one
        z = x[train, :k] / x[train, :k].std(0)
        weights = nonnegative(z - z.mean(0), y[train] - y[train].mean()) / x[train, :k].std(0)
        found.append(correlation(x[test, :k] @ weights, y[test]))
    return found

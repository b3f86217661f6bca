"""Slow, literal twins of the statistics of dependent images: loops over clusters and images."""

import numpy as np


def robust_variance(values: np.ndarray, clusters: np.ndarray, weights: np.ndarray) -> float:
    """Variance of a weighted mean of values [n], by a loop over clusters."""
    mean = sum(w * x for w, x in zip(weights, values, strict=True)) / weights.sum()
    total, names = 0.0, sorted(set(clusters.tolist()))
    for name in names:
        inside = [i for i in range(len(values)) if clusters[i] == name]
        total += sum(weights[i] * (values[i] - mean) for i in inside) ** 2
    return len(names) / (len(names) - 1) * total / weights.sum() ** 2


def resampled(
    values: np.ndarray, clusters: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances [R] of values [n] where cluster g is taken draws[r,g] times."""
    means, variances = [], []
    for times in draws:
        taken = [
            x
            for x, cluster in zip(values, clusters, strict=True)
            for _ in range(int(times[cluster]))
        ]
        means.append(np.mean(taken))
        variances.append(np.var(taken))
    return np.array(means), np.array(variances)

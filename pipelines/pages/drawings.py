"""Drawings of a page as SVG coordinates: outlines of histograms, lines with their intervals."""

from typing import Any

import numpy as np

BINS = 44


def density(baseline: np.ndarray, current: np.ndarray) -> dict[str, Any]:
    """Outlines of two histograms over the same bins: SVG paths in a box of 100 by 100."""
    low, high = np.quantile(np.concatenate([baseline, current]), [0.001, 0.999])
    high = high if high > low else low + 1
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(np.clip(x, low, high), edges)[0] / len(x) for x in (baseline, current)]
    top = max(c.max() for c in counts)
    paths = [_outline(c / top) for c in counts]
    return {"low": float(low), "high": float(high), "baseline": paths[0], "current": paths[1]}


def _outline(heights: np.ndarray) -> str:
    xs = np.linspace(0, 100, len(heights) + 1)
    steps = [
        f"L{xs[i]:.2f} {100 - 96 * h:.2f}L{xs[i + 1]:.2f} {100 - 96 * h:.2f}"
        for i, h in enumerate(heights)
    ]
    return "M0 100" + "".join(steps) + "L100 100Z"


def band(mean: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    """A line and its interval as SVG points in a box of 100 by 40.

    Every value has a column of the box to itself, as wide as the others, and lies in its middle.
    """
    low, high = (mean - half).min(), (mean + half).max()
    xs = (np.arange(len(mean)) + 0.5) * 100 / len(mean)
    span = high - low if high > low else 1.0

    def points(values: np.ndarray, at: np.ndarray) -> str:
        ys = 38 - 36 * (values - low) / span
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in zip(at, ys, strict=True))

    both = points(np.r_[mean + half, (mean - half)[::-1]], np.r_[xs, xs[::-1]])
    return {"line": points(mean, xs), "band": both, "low": float(low), "high": float(high)}

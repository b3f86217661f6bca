"""How far the measures agree: in effect and verdict on every concept, and image by image."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from pipelines.analyse.attribution import Criteria
from pipelines.analyse.findings import Finding
from pipelines.analyse.sides import Sides

CORRELATE_ON = 20_000
"""Images per side over which measures are correlated."""


def agreement(sides: Sides, findings: Sequence[Finding], criteria: Criteria) -> dict[str, Any]:
    """Where the measures say the same of a concept and where not; empty with one measure only.

    A measure counts a concept by floor and q alone, before permutations and before consequences are
    told from causes, since only the deciding measure is taken through those.

    Returns:
        `concepts`, in the order of `findings`: name, text, `counted` (the measures that count it),
        `opposite` (two measures, each with a q that passes, see opposite signs), `images_r` (the
        lowest correlation of two measures over images). `pairs`: per two measures the correlation
        of their effects over concepts and, over images, its median and range over concepts.
    """
    if len(sides.measures) < 2:
        return {}
    images = _over_images(sides)
    order = [c.slug for c in sides.concepts]
    lowest = np.min(list(images.values()), axis=0)
    return {
        "concepts": [
            _row(f, sides.measures, criteria) | {"images_r": lowest[order.index(f["name"])]}
            for f in findings
        ],
        "pairs": [
            {
                "measures": list(two),
                "effects_r": _r(*(np.array([f[m]["effect"] for f in findings]) for m in two)),
                "images_r": float(np.nanmedian(images[two])),
                "low": float(np.nanmin(images[two])),
                "high": float(np.nanmax(images[two])),
            }
            for two in images
        ],
    }


def _row(finding: Finding, measures: Sequence[str], criteria: Criteria) -> dict[str, Any]:
    effect = np.array([finding[m]["effect"] for m in measures])
    q = np.array([finding[m]["q"] for m in measures])
    counted = criteria.passes(effect, q)
    signs = np.sign(effect[q < criteria.alpha])
    return {
        "name": finding["name"],
        "text": finding["text"],
        "counted": [m for m, counts in zip(measures, counted, strict=True) if counts],
        "opposite": bool(len(signs) and signs.min() < 0 < signs.max()),
    }


def _over_images(sides: Sides) -> dict[tuple[str, str], np.ndarray]:
    """Per two measures: [Q] their correlation over images within the sides; 0 if one is constant.

    Each side is centred by itself, so that the difference between the sides does not enter.
    """
    centred = {}
    for measure in sides.measures:
        values = [
            side.head(CORRELATE_ON).values(sides.concepts, measure)
            for side in (sides.baseline, sides.current)
        ]
        centred[measure] = np.concatenate([x - x.mean(0) for x in values])
    spread = {m: np.sqrt(np.square(x).sum(0)) for m, x in centred.items()}
    found = {}
    for one, other in combinations(sides.measures, 2):
        both = spread[one] * spread[other]
        together = (centred[one] * centred[other]).sum(0)
        found[one, other] = np.divide(together, both, out=np.zeros_like(both), where=both > 0)
    return found


def _r(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r; NaN with fewer than three values or where one does not vary."""
    x, y = one - one.mean(), other - other.mean()
    both = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / both if len(one) > 2 and both > 0 else float("nan")

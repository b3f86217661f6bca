"""The A/A control: the baseline against itself, where the same tests must find nothing."""

from dataclasses import replace
from typing import Any

import numpy as np

from nhd_ops.clusters import ordered
from nhd_ops.shift import false_discovery, summary
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.domain import cross_fitted_auc
from pipelines.analyse.findings import overall_finding
from pipelines.analyse.permuted import confirmation
from pipelines.analyse.sides import Side

SPLITS = 100
SPLIT_ON = 10_000
"""Images that are split; the rate of false alarms does not depend on how many there are."""


def control(
    baseline: Side, families: dict[str, Family], criteria: Criteria, embeddings: np.ndarray
) -> dict[str, Any]:
    """Random halves of the baseline: how many splits raise an alarm, and the largest effect seen.

    Whole clusters go to a half; where there are fewer than 4, two a half, images are split as if
    they were independent, and `unit` says so. Pairs are left out: their moments are not kept per
    half.

    Args:
        families: by kind; only their baseline values are used.
        embeddings: [n,D] of the baseline, split once for the domain classifier.
    """
    rng = np.random.default_rng(0)
    size = min(len(baseline.rows), SPLIT_ON)
    codes = _splittable(baseline.clusters, size, len(embeddings))
    units = np.arange(size) if codes is None else ordered(codes[:size])
    halves = [_half(units, rng) for _ in range(SPLITS)]
    own = None if codes is None else units
    found = {kind: _null(family, halves, own, criteria) for kind, family in families.items()}
    whole = np.arange(len(embeddings)) if codes is None else ordered(codes[: len(embeddings)])
    half = _half(whole, rng)
    sides = None if codes is None else (whole[half], whole[~half])
    auc = cross_fitted_auc(embeddings[half], embeddings[~half], sides)
    return {
        "splits": SPLITS,
        "images_per_half": size // 2,
        "unit": "images" if codes is None else "clusters",
        "kinds": found,
        "auc": overall_finding(auc, criteria),
    }


def _splittable(codes: np.ndarray | None, *sizes: int) -> np.ndarray | None:
    """The clusters, if among the first rows, however many are used, there are two for each half."""
    if codes is None or min(len(np.unique(codes[:size])) for size in sizes) < 4:
        return None
    return codes


def _half(units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n] bool: whole units 0, 1, .., half of them."""
    count = int(units.max()) + 1
    half: np.ndarray = (rng.permutation(count) < count // 2)[units]
    return half


def _null(
    family: Family, halves: list[np.ndarray], codes: np.ndarray | None, criteria: Criteria
) -> dict[str, Any]:
    alarms, largest = 0, []
    for half in halves:
        split = _split(family, half, codes)
        own = split.clusters or (None, None)
        sides = zip((split.baseline, split.current), own, strict=True)
        effect = family.test(*(summary(values, None, c) for values, c in sides))
        if criteria.passes(effect.effect, false_discovery(effect.p)).any():  # rare, so cheap
            alarms += int(confirmation(split, effect, criteria).counts.any())
        largest.append(float(np.abs(effect.effect).max()))
    return {
        "tested": len(family.names),
        "splits_with_alarm": alarms,
        "expected_at_most": criteria.alpha * len(halves),
        "typical_largest_effect": float(np.median(largest)),
        "largest_effect": max(largest),
    }


def _split(family: Family, half: np.ndarray, codes: np.ndarray | None) -> Family:
    """The first rows of the baseline as two sides."""
    return replace(
        family,
        baseline=family.baseline[: len(half)][half],
        current=family.baseline[: len(half)][~half],
        clusters=None if codes is None else (codes[half], codes[~half]),
    )

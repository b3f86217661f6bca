"""The A/A control: the baseline against itself, where the same tests must find nothing."""

from typing import Any

import numpy as np

from nhd_ops.shift import false_discovery, summary
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.domain import cross_fitted_auc
from pipelines.analyse.findings import overall_finding
from pipelines.analyse.sides import Side

SPLITS = 100
SPLIT_ON = 10_000
"""Images that are split; the rate of false alarms does not depend on how many there are."""


def control(
    baseline: Side, families: dict[str, Family], criteria: Criteria, embeddings: np.ndarray
) -> dict[str, Any]:
    """Random halves of the baseline: how many splits raise an alarm, and the largest effect seen.

    Pairs are left out: their moments are not kept per half.

    Args:
        families: by kind; only their baseline values are used.
        embeddings: [n,D] of the baseline, split once for the domain classifier.
    """
    rng = np.random.default_rng(0)
    size = min(len(baseline.rows), SPLIT_ON)
    halves = [rng.permutation(size) < size // 2 for _ in range(SPLITS)]
    found = {kind: _null(family, halves, criteria) for kind, family in families.items()}
    half = rng.permutation(len(embeddings)) < len(embeddings) // 2
    auc = overall_finding(cross_fitted_auc(embeddings[half], embeddings[~half]), criteria)
    return {"splits": SPLITS, "images_per_half": size // 2, "kinds": found, "auc": auc}


def _null(family: Family, halves: list[np.ndarray], criteria: Criteria) -> dict[str, Any]:
    values, alarms, largest = family.baseline[: len(halves[0])], 0, []
    for half in halves:
        effect = family.test(summary(values[half]), summary(values[~half]))
        alarms += int(criteria.passes(effect.effect, false_discovery(effect.p)).any())
        largest.append(float(np.abs(effect.effect).max()))
    return {
        "tested": len(family.names),
        "splits_with_alarm": alarms,
        "expected_at_most": criteria.alpha * len(halves),
        "typical_largest_effect": float(np.median(largest)),
        "largest_effect": max(largest),
    }

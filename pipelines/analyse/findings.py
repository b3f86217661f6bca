"""Findings: one row for everything that was tested, with its effect, interval, q and verdict.

`shifted` is the verdict. For concepts and labels it also asks that the change stands on its own
(`pipelines.analyse.attribution`); `passes` says whether it was large and sure enough to begin with,
by q and by permutations (`pipelines.analyse.permuted`).
"""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from nhd_ops.shift import (
    Auc,
    Effect,
    as_auc,
    false_discovery,
    mean_shift,
    proportion_shift,
    two_sided,
)
from pipelines.analyse.attribution import Attribution, Criteria, Family, attribute
from pipelines.analyse.measure import balanced_by
from pipelines.analyse.permuted import confirmation
from pipelines.analyse.sides import Sides

Finding = dict[str, Any]
ADJUST_ON = 50_000
"""Images per side on which changes are told apart; the effects themselves use all."""


def concept_family(sides: Sides, measure: str, seed: int = 0) -> Family:
    """All concepts by one measure, balanced as `balanced_by` says."""
    one, other = sides.baseline, sides.current
    balanced = balanced_by(measure, sides.measures)
    return Family(
        tuple(c.slug for c in sides.concepts),
        one.values(sides.concepts, measure),
        other.values(sides.concepts, measure),
        one.head(ADJUST_ON).features(sides.concepts, balanced),
        other.head(ADJUST_ON).features(sides.concepts, balanced),
        mean_shift,
        cluster_codes(sides),
        seed,
    )


def cluster_codes(sides: Sides) -> tuple[np.ndarray, np.ndarray] | None:
    """The clusters of both sides, where images are not independent."""
    one, other = sides.baseline.clusters, sides.current.clusters
    return None if one is None or other is None else (one, other)


def first_codes(sides: Sides, limit: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The clusters of the first `limit` images of both sides."""
    codes = cluster_codes(sides)
    return None if codes is None else (codes[0][:limit], codes[1][:limit])


def label_family(sides: Sides, seed: int = 0) -> Family:
    """All labels: the share of images that have them."""
    one, other = (
        s.rows[sides.labels].to_numpy(np.float64) for s in (sides.baseline, sides.current)
    )
    names = tuple(sides.labels)
    features = one[..., None], other[..., None]
    return Family(names, one, other, *features, proportion_shift, cluster_codes(sides), seed)


def concept_findings(
    sides: Sides, family: Family, measure: str, criteria: Criteria
) -> tuple[list[Finding], Attribution]:
    """One finding per concept, decided by `measure`, with the effects of all measures inside."""
    findings, attribution = family_findings("concept", family, criteria)
    for name in sides.measures:
        one, other = (s.values(sides.concepts, name) for s in (sides.baseline, sides.current))
        same = replace(family, baseline=one, current=other)
        effect = same.effect()
        q = false_discovery(effect.p)
        for i, finding in enumerate(findings):
            finding[name] = {**_numbers(effect, i), "q": float(q[i])}
    for finding, concept in zip(findings, sides.concepts, strict=True):
        finding |= {"text": concept.text, "measure": measure}
    return findings, attribution


def family_findings(
    kind: str, family: Family, criteria: Criteria
) -> tuple[list[Finding], Attribution]:
    """One finding per member, in the family's order."""
    marginal = family.effect()
    q = false_discovery(marginal.p)
    permuted = confirmation(family, marginal, criteria)
    told = attribute(family.head(ADJUST_ON), marginal, criteria, permuted.counts)
    means = family.baseline.mean(0), family.current.mean(0)
    findings = []
    for i, name in enumerate(family.names):
        finding = finding_of(kind, name, _numbers(marginal, i), float(q[i]), bool(told.shifted[i]))
        finding["passes"] = bool(permuted.counts[i])
        finding["permutation_p"] = float(permuted.p[i])
        finding["permutations_decide"] = permuted.decisive
        finding["adjusted_effect"] = float(told.adjusted.effect[i])
        finding["adjusted_low"] = float(told.adjusted.low[i])
        finding["adjusted_high"] = float(told.adjusted.high[i])
        finding["adjusted_q"] = float(told.adjusted_q[i])
        finding["hidden"] = bool(told.hidden[i])
        finding["explained_by"] = [family.names[j] for j in told.explained_by.get(i, [])]
        finding["baseline"], finding["current"] = float(means[0][i]), float(means[1][i])
        findings.append(finding)
    return findings, told


def overall_finding(auc: Auc, criteria: Criteria) -> Finding:
    """The domain classifier's AUC as `effect`; the floor is that of an effect of `floor`."""
    z = (auc.auc - 0.5) / auc.error if auc.error > 0 else 0.0
    p = two_sided(z, auc.freedom) if auc.error > 0 else float(auc.auc == 0.5)
    half = auc.error * float(stdtrit(auc.freedom, 0.975))
    numbers = {
        "effect": auc.auc,
        "low": max(0.0, auc.auc - half),
        "high": min(1.0, auc.auc + half),
        "p": p,
    }
    shifted = auc.auc >= as_auc(criteria.floor) and p < criteria.alpha
    finding = finding_of("overall", "domain classifier AUC", numbers, p, shifted)
    return finding | {"direction": "none"}


def finding_of(kind: str, name: str, numbers: dict[str, float], q: float, shifted: bool) -> Finding:
    """What every finding has, with the direction of its effect."""
    direction = "up" if numbers["effect"] > 0 else "down" if numbers["effect"] < 0 else "none"
    return {
        "kind": kind,
        "name": name,
        **numbers,
        "q": q,
        "direction": direction,
        "shifted": shifted,
    }


def _numbers(effect: Effect, index: int) -> dict[str, float]:
    return {name: float(value[index]) for name, value in effect._asdict().items()}

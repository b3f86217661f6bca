"""Findings: one row for everything that was tested, with its effect, interval, q and verdict.

`shifted` is the verdict. For concepts and labels it also asks that the change stands on its own
(`pipelines.analyse.attribution`); `passes` says whether it was large and sure enough to begin with.
"""

from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from nhd_ops.shift import (
    Auc,
    Effect,
    Summary,
    as_auc,
    false_discovery,
    mean_shift,
    proportion_shift,
    two_sided,
)
from pipelines.analyse.attribution import Attribution, Criteria, Family, attribute
from pipelines.analyse.sides import Sides

Finding = dict[str, Any]
ADJUST_ON = 50_000
"""Images per side on which changes are told apart; the effects themselves use all."""
Z95 = 1.959963984540054


def concept_family(sides: Sides, measure: str) -> Family:
    """All concepts by one measure, balanced by all that the sides have."""
    one, other = sides.baseline, sides.current
    return Family(
        tuple(c.slug for c in sides.concepts),
        one.values(sides.concepts, measure),
        other.values(sides.concepts, measure),
        one.features(sides.concepts, sides.measures),
        other.features(sides.concepts, sides.measures),
        mean_shift,
    )


def label_family(sides: Sides) -> Family:
    """All labels: the share of images that have them."""
    one, other = (
        s.rows[sides.labels].to_numpy(np.float64) for s in (sides.baseline, sides.current)
    )
    names = tuple(sides.labels)
    return Family(names, one, other, one[..., None], other[..., None], proportion_shift)


def concept_findings(
    sides: Sides, family: Family, measure: str, criteria: Criteria
) -> tuple[list[Finding], Attribution]:
    """One finding per concept, decided by `measure`, with the effects of all measures inside."""
    findings, attribution = family_findings("concept", family, criteria)
    for name in sides.measures:
        one, other = (s.values(sides.concepts, name) for s in (sides.baseline, sides.current))
        effect = Family(family.names, one, other, one, other, mean_shift).effect()
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
    told = attribute(family.head(ADJUST_ON), marginal, criteria)
    passes = criteria.passes(marginal.effect, q)
    means = family.baseline.mean(0), family.current.mean(0)
    findings = []
    for i, name in enumerate(family.names):
        finding = _finding(kind, name, _numbers(marginal, i), float(q[i]), bool(told.shifted[i]))
        finding["passes"] = bool(passes[i])
        finding["adjusted_effect"] = float(told.adjusted.effect[i])
        finding["adjusted_q"] = float(told.adjusted_q[i])
        finding["explained_by"] = [family.names[j] for j in told.explained_by.get(i, [])]
        finding["baseline"], finding["current"] = float(means[0][i]), float(means[1][i])
        findings.append(finding)
    return findings, told


def reject_findings(sides: Sides, criteria: Criteria) -> list[Finding]:
    """Rejected samples on both sides, all together and by reason; none for buckets of a run."""
    one, other = sides.baseline.counts, sides.current.counts
    if one is None or other is None:
        return []
    counts = {"all": (one["rejected"], other["rejected"])}
    for reason in sorted({*one["reasons"], *other["reasons"]}):
        counts[reason] = (one["reasons"].get(reason, 0), other["reasons"].get(reason, 0))
    read = (one["read"], other["read"])
    q = false_discovery(np.array([_fisher(pair, read) for pair in counts.values()]))
    return [
        _reject_finding(name, pair, read, criteria, float(q[i]))
        for i, (name, pair) in enumerate(counts.items())
    ]


def _reject_finding(
    name: str, counts: tuple[int, int], read: tuple[int, int], criteria: Criteria, q: float
) -> Finding:
    rates = counts[0] / read[0], counts[1] / read[1]
    sides = [Summary(n, np.array(r), np.array(0.0)) for n, r in zip(read, rates, strict=True)]
    effect = proportion_shift(sides[0], sides[1])
    numbers = {k: float(v) for k, v in effect._asdict().items()} | {"p": _fisher(counts, read)}
    shifted = bool(criteria.passes(effect.effect, np.array(q)))
    return _finding("rejects", name, numbers, q, shifted) | {
        "baseline_count": counts[0],
        "current_count": counts[1],
        "baseline": rates[0],
        "current": rates[1],
    }


def overall_finding(auc: Auc, criteria: Criteria) -> Finding:
    """The domain classifier's AUC as `effect`; the floor is that of an effect of `floor`."""
    p = two_sided((auc.auc - 0.5) / auc.error) if auc.error > 0 else float(auc.auc == 0.5)
    numbers = {
        "effect": auc.auc,
        "low": max(0.0, auc.auc - Z95 * auc.error),
        "high": min(1.0, auc.auc + Z95 * auc.error),
        "p": p,
    }
    shifted = auc.auc >= as_auc(criteria.floor) and p < criteria.alpha
    finding = _finding("overall", "domain classifier AUC", numbers, p, shifted)
    return finding | {"direction": "none"}


def _finding(kind: str, name: str, numbers: dict[str, float], q: float, shifted: bool) -> Finding:
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


def _fisher(counts: tuple[int, int], read: tuple[int, int]) -> float:
    table = [[counts[0], read[0] - counts[0]], [counts[1], read[1] - counts[1]]]
    return float(fisher_exact(table).pvalue)

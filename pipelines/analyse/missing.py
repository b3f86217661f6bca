"""Missing data as a change of its own: rejected samples, empty columns; and how full shards are.

A damaged shard is one event, however many samples it holds. So where events gather in shards more
than chance allows, a rate is as sure as its shards make it, and the larger of that p and Fisher's
counts; elsewhere, and for the small counts for which nothing else is valid, Fisher's.

How many samples a shard holds is up to whoever packs them, by number or by bytes, so it is shown
and never counts as changed; what a shard lost in damage is among its rejects.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit
from scipy.stats import fisher_exact

from nhd_ops.clusters import counted_design
from nhd_ops.dependence import uneven_p
from nhd_ops.shift import (
    Effect,
    Summary,
    dependent,
    false_discovery,
    proportion_shift,
    satterthwaite,
    welch,
)
from pipelines.analyse.attribution import Criteria
from pipelines.analyse.clusters import LEVEL
from pipelines.analyse.findings import Finding, finding_of
from pipelines.analyse.sides import Side, Sides

PER_SHARD = "samples per shard"


@dataclass(frozen=True, eq=False)
class Counted:
    """Events among samples, by shard (or by cluster)."""

    events: np.ndarray
    """[G]"""
    samples: np.ndarray
    """[G]"""

    @property
    def both(self) -> tuple[int, int]:
        """All events, all samples."""
        return int(self.events.sum()), int(self.samples.sum())

    @property
    def rate(self) -> float:
        """Events per sample."""
        return self.both[0] / max(1, self.both[1])


def reject_findings(sides: Sides, criteria: Criteria, cluster: str = "auto") -> list[Finding]:
    """Rejected samples on both sides, all together and by reason; none for buckets of a run.

    `cluster` as in the plan: `none` counts samples, `shard` shards, else what the data say.
    """
    one, other = sides.baseline.records, sides.current.records
    if one is None or other is None:
        return []
    reasons = sorted({reason for record in (*one, *other) for reason in record["reasons"]})
    counted = {"all": (_rejected(one, None), _rejected(other, None))}
    counted |= {reason: (_rejected(one, reason), _rejected(other, reason)) for reason in reasons}
    return _rate_findings("rejects", counted, criteria, cluster)


def missing_findings(sides: Sides, criteria: Criteria, cluster: str = "auto") -> list[Finding]:
    """Columns that lack values on either side, and for two runs the samples read per shard."""
    both = (sides.baseline, sides.current)
    counted = {}
    for column in sides.columns:
        nulls = [_nulls(side, column) for side in both]
        if any(c.both[0] for c in nulls):
            counted[column] = (nulls[0], nulls[1])
    grouped = "shard" if sides.baseline.clusters is not None else cluster
    found = _rate_findings("missing", counted, criteria, grouped)
    one, other = (
        np.array([float(record["read"]) for record in side.records or []]) for side in both
    )
    return [*found, _per_shard(one, other)] if min(len(one), len(other)) > 1 else found


def _rate_findings(
    kind: str, counted: dict[str, tuple[Counted, Counted]], criteria: Criteria, cluster: str
) -> list[Finding]:
    units = {name: _unit(pair, cluster) for name, pair in counted.items()}
    effects = {name: _effect(*pair, units[name]) for name, pair in counted.items()}
    q = false_discovery(np.array([float(e.p) for e in effects.values()]))
    findings = []
    for i, (name, (one, other)) in enumerate(counted.items()):
        numbers = {k: float(v) for k, v in effects[name]._asdict().items()}
        shifted = bool(criteria.passes(effects[name].effect, q[i]))
        findings.append(
            finding_of(kind, name, numbers, float(q[i]), shifted)
            | {"baseline_count": one.both[0], "current_count": other.both[0]}
            | {"baseline": one.rate, "current": other.rate, "unit": units[name]}
        )
    return findings


def _unit(pair: tuple[Counted, Counted], cluster: str) -> str:
    """`clusters` or `samples`: what the events of both sides are counted by."""
    if cluster == "none" or min(len(side.events) for side in pair) < 2:
        return "samples"
    gathered = min(uneven_p(side.events, side.samples) for side in pair) <= LEVEL / 2
    return "clusters" if cluster == "shard" or gathered else "samples"


def _effect(one: Counted, other: Counted, unit: str) -> Effect:
    sides = [Summary(float(c.both[1]), np.array(c.rate), np.array(0.0)) for c in (one, other)]
    if unit == "clusters":
        costs = [counted_design(c.events, c.samples) for c in (one, other)]
        sides = [dependent(side, cost) for side, cost in zip(sides, costs, strict=True)]
    found = proportion_shift(sides[0], sides[1])
    exact = np.array(_fisher(one.both, other.both))
    return found._replace(p=exact if unit == "samples" else np.maximum(exact, found.p))


def _per_shard(one: np.ndarray, other: np.ndarray) -> Finding:
    """The logarithm of the ratio of the mean numbers of samples; a shard is one observation.

    Never `shifted`: shards packed anew are the same data.
    """
    sides = [Summary(float(len(r)), r.mean(), r.var(ddof=1)) for r in (one, other)]
    means = [max(float(s.mean), 0.5) for s in sides]
    effect = float(np.log(means[1] / means[0]))
    relative = [
        Summary(s.count, s.mean, s.variance / m**2) for s, m in zip(sides, means, strict=True)
    ]
    error = np.sqrt(sum(float(s.variance) / s.count for s in relative))
    half = float(stdtrit(satterthwaite(*relative), 0.975)) * float(error)
    p = float(welch(sides[0], sides[1]))
    numbers = {"effect": effect, "low": effect - half, "high": effect + half, "p": p}
    return finding_of("missing", PER_SHARD, numbers, p, shifted=False) | {
        "baseline_count": len(one), "current_count": len(other),
        "baseline": float(one.mean()), "current": float(other.mean()), "unit": "clusters",
    }  # fmt: skip


def _rejected(records: list[dict[str, Any]], reason: str | None) -> Counted:
    events = [r["rejected"] if reason is None else r["reasons"].get(reason, 0) for r in records]
    return Counted(np.array(events), np.array([r["read"] for r in records]))


def _nulls(side: Side, column: str) -> Counted:
    groups = side.rows["shard"] if side.clusters is None else side.clusters
    _, codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    missing = side.rows[f"missing:{column}"].to_numpy(float)
    return Counted(np.bincount(codes, missing).astype(int), np.bincount(codes))


def _fisher(one: tuple[int, int], other: tuple[int, int]) -> float:
    table = [[one[0], one[1] - one[0]], [other[0], other[1] - other[0]]]
    return float(fisher_exact(table).pvalue)

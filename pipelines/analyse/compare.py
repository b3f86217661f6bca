"""Compare two runs, or two buckets of one: what changed, how much, how sure, which pairs saw it.

Everything is decided by effect sizes with a floor and by q-values together, checked against a
control (the baseline split in two), and written as JSON, Parquet and one HTML page.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nhd_ops.shift import promised_effect, summary
from pipelines.analyse.attribution import Attribution, Criteria
from pipelines.analyse.clusters import Clustering, clustered, worst
from pipelines.analyse.control import control
from pipelines.analyse.domain import cross_fitted
from pipelines.analyse.findings import (
    Finding,
    concept_family,
    concept_findings,
    family_findings,
    first_codes,
    label_family,
    overall_finding,
)
from pipelines.analyse.measure import Asked, decided
from pipelines.analyse.missing import missing_findings, reject_findings
from pipelines.analyse.pair_shifts import behind, pair_shifts
from pipelines.analyse.permuted import agreement
from pipelines.analyse.samples import flagged
from pipelines.analyse.sides import Side, Sides, one_run, two_runs
from pipelines.analyse.truth import truth_table
from pipelines.analyse.written import write
from pipelines.errors import UsageError
from pipelines.io.listing import absolute
from pipelines.io.urls import without_secrets

MOST_PAIRS_LISTED = 100
MOST_NAMED = 6
CLASSIFY_ON = 20_000


@dataclass(frozen=True)
class ComparePlan:
    """What to compare, where to write, and when a difference counts."""

    out: str
    """Folder for the report, local or any fsspec URL."""
    baseline: str | None = None
    """Run folder of the baseline side."""
    current: str | None = None
    """Run folder of the current side."""
    run: str | None = None
    """One run folder instead, compared with itself by a column."""
    by: str | None = None
    """The column whose values are the sides, with `run`."""
    values: tuple[str, str] | None = None
    """Baseline and current value of the column; by default the first and the last."""
    measure: Asked = "auto"
    """The measure that decides on concepts; the others are shown beside it. `auto`: grounded where
    both sides were scored through the same lens, else similarity."""
    alpha: float = 0.01
    """Largest q-value (Benjamini-Yekutieli) that counts."""
    floor: float = 0.1
    """Smallest |effect| that counts, in standard deviations (d) or arcsine units (h)."""
    cluster: str = "auto"
    """Which images depend on each other: those of a `shard`, those that share a value of a column,
    or `none`; `auto` takes shards if their images are more alike than chance allows."""
    seed: int = 0
    """Of samples, splits, folds, resamples and permutations."""

    def __post_init__(self) -> None:
        two = self.baseline is not None and self.current is not None
        one = self.run is not None and self.by is not None
        if two == one or (self.baseline is None) != (self.current is None):
            raise UsageError("give either --baseline and --current, or --run and --by")
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha is {self.alpha}, but must lie between 0 and 1")
        if self.floor < 0:
            raise UsageError(f"floor is {self.floor}, but must not be negative")


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was found, as it is written."""

    plan: ComparePlan
    """With the measure that decided."""
    sides: Sides
    findings: list[Finding]
    """Everything tested, except that of the pairs only the largest that count are here."""
    pairs: pd.DataFrame | None
    """Every pair; None where no moments were kept for the sides."""
    truth: pd.DataFrame
    """Point-biserial r of labels with measures and pairs."""
    trend: pd.DataFrame | None
    """With `by`: the mean of every concept for every value."""
    summary: dict[str, Any]
    samples: pa.Table
    """The flagged images (`pipelines.analyse.samples`)."""

    def of(self, kind: str) -> list[Finding]:
        """Findings of one kind."""
        return [finding for finding in self.findings if finding["kind"] == kind]

    def shifted(self, kind: str = "concept") -> list[Finding]:
        """Those of one kind that changed, the largest effect first."""
        return [finding for finding in self.of(kind) if finding["shifted"]]


def compare(plan: ComparePlan) -> Comparison:
    """Compare the two sides of `plan` and write the report folder.

    Raises UsageError where the sides cannot be compared.
    """
    from pipelines.pages.report import render

    sides = load(plan)
    comparison = analyse(plan, sides)
    write(comparison)
    render(comparison)
    return comparison


def load(plan: ComparePlan) -> Sides:
    """The two sides of a plan."""
    if plan.run is not None and plan.by is not None:
        return one_run(plan.run, plan.by, plan.values, plan.seed, plan.cluster)
    assert plan.baseline is not None and plan.current is not None
    return two_runs(plan.baseline, plan.current, plan.seed, plan.cluster)


def analyse(plan: ComparePlan, sides: Sides) -> Comparison:
    """Everything but the writing; UsageError for a measure that the sides do not share."""
    measure, why = decided(plan.measure, sides.measures)
    plan = replace(plan, measure=measure)
    criteria = Criteria(plan.alpha, plan.floor)
    sides, clustering = clustered(sides, plan.cluster, plan.measure, plan.seed)
    families = {"concept": concept_family(sides, plan.measure, plan.seed)}
    families |= {"label": label_family(sides, plan.seed)} if sides.labels else {}
    concepts, told = concept_findings(sides, families["concept"], plan.measure, criteria)
    labels = family_findings("label", families["label"], criteria)[0] if sides.labels else []
    pairs = pair_shifts(sides, criteria, worst(clustering))
    _add_pairs_behind(concepts, sides, pairs)
    vectors = [side.embeddings(CLASSIFY_ON) for side in (sides.baseline, sides.current)]
    codes = first_codes(sides, CLASSIFY_ON)
    classified = cross_fitted(vectors[0], vectors[1], codes)
    overall = overall_finding(classified.auc, criteria)
    rejects = reject_findings(sides, criteria, plan.cluster)
    missing = missing_findings(sides, criteria, plan.cluster)
    listed = _listed(pairs)
    findings = [overall, *_largest(concepts), *_largest(labels), *rejects, *missing, *listed]
    numbers = _summary(plan, sides, findings, pairs, told, clustering)
    numbers["measure_because"] = why
    numbers["permutations"] = agreement([*concepts, *labels], criteria)
    numbers["control"] = control(sides.baseline, families, criteria, vectors[0])
    trend = None if sides.trend is None else _trend(sides, plan.measure)
    samples = flagged(sides, findings, classified, plan.measure, plan.seed)
    return Comparison(plan, sides, findings, pairs, truth_table(sides), trend, numbers, samples)


def _add_pairs_behind(concepts: list[Finding], sides: Sides, pairs: pd.DataFrame | None) -> None:
    by_slug = {c.slug: c for c in sides.concepts}
    for finding in concepts:
        if finding["shifted"] and pairs is not None:
            concept = by_slug[finding["name"]]
            finding["pairs"] = behind(sides, pairs, concept, finding["effect"])


def _largest(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (-abs(f["effect"]), f["name"]))


def _listed(pairs: pd.DataFrame | None) -> list[Finding]:
    if pairs is None:
        return []
    found = pairs[pairs["shifted"]].head(MOST_PAIRS_LISTED)
    named = [
        f"{head}·{neuron}" for head, neuron in zip(found["head"], found["neuron"], strict=True)
    ]
    rows = found.assign(kind="pair", name=named).to_dict("records")
    first = ("kind", "name")
    return [{str(k): row[k] for k in (*first, *(k for k in row if k not in first))} for row in rows]


def _trend(sides: Sides, measure: str) -> pd.DataFrame:
    rows = []
    for side in sides.trend or []:
        values = side.values(sides.concepts, measure)
        known = summary(values, None, side.clusters) if len(values) > 1 else None
        error = None if known is None else np.sqrt(known.variance / known.count)
        for i, concept in enumerate(sides.concepts):
            row = {"value": side.name.partition(" = ")[2], "images": len(values)}
            half = 1.96 * float(error[i]) if error is not None else math.nan
            mean = float(values[:, i].mean())
            rows.append(row | {"concept": concept.slug, "mean": mean, "half_width": half})
    return pd.DataFrame(rows)


def _summary(
    plan: ComparePlan,
    sides: Sides,
    findings: list[Finding],
    pairs: pd.DataFrame | None,
    told: Attribution,
    clustering: Clustering,
) -> dict[str, Any]:
    shifted = [f for f in findings if f["kind"] == "concept" and f["shifted"]]
    return {
        "schema_version": 1,
        "verdict": verdict(shifted, len(sides.concepts)),
        "measure": plan.measure,
        "alpha": plan.alpha,
        "floor": plan.floor,
        "seed": plan.seed,
        "auc": {k: findings[0][k] for k in ("effect", "low", "high", "p")},
        "concepts": {
            "tested": len(sides.concepts),
            "shifted": [f["name"] for f in shifted],
            "hidden": [f["name"] for f in findings if f["kind"] == "concept" and f["hidden"]],
        },
        "pairs": None
        if pairs is None
        else {"tested": len(pairs), "shifted": int(pairs["shifted"].sum())},
        "detectable_effect": promised_effect(
            *clustering.effective(sides), len(sides.concepts), plan.alpha, floor=plan.floor
        ),
        "dependence": {"sentence": clustering.sentence, **clustering.numbers},
        "effective_images": list(told.effective),
        "only_on_one_side": sides.dropped,
        "baseline": _provenance(sides.baseline),
        "current": _provenance(sides.current),
    }


def verdict(shifted: list[Finding], tested: int) -> str:
    """The finding in one sentence, which names the largest changes."""
    if not shifted:
        one = "The one concept tested did not change"
        return one if tested == 1 else f"None of {tested:,} concepts changed"
    words = {"up": "more", "down": "less", "none": "changed"}
    named = ", ".join(f"{f['text']} ({words[f['direction']]})" for f in shifted[:MOST_NAMED])
    if len(shifted) > MOST_NAMED:
        named += f" and {len(shifted) - MOST_NAMED} more"
    count = "The one concept tested" if tested == 1 else f"{len(shifted):,} of {tested:,} concepts"
    return f"{count} changed: {named}"


def _provenance(side: Side) -> dict[str, Any]:
    plain = {k: v for k, v in side.info.items() if isinstance(v, str | int | float | bool)}
    counts = side.counts or {"rejected": None}
    url = absolute(without_secrets(side.run.url))  # exports read the run again, from any folder
    return {"name": side.name, "url": url, "images": len(side.rows), **counts, **plain}

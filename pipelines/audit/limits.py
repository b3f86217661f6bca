"""Everything that has a threshold, held against it: one row each.

A concept or label crosses its limit when its finding is `shifted` (large and sure enough, and
standing on its own) and its effect reaches the limit. What only follows from other changes never
does (`pipelines.analyse.attribution`).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from nhd_ops.shift import false_discovery
from pipelines.analyse.missing import PER_SHARD
from pipelines.audit.alarms import Alarms
from pipelines.audit.report import Finding, Report
from pipelines.audit.settings import Family, Limits, Settings
from pipelines.errors import UsageError

Row = dict[str, Any]
"""kind, name, text, value, low, high, q, limit, direction, explained_by, and state: `crossed`;
`changed`, but within the limit; `follows` from other changes; `passed`; `off`."""
FOLLOWS_FROM = 0.3  # |r| from which on a pair's change is put down to the concept it follows


def rows_of(
    settings: Settings, alarms: Alarms, report: Report | None, counts: dict[str, int]
) -> list[Row]:
    """All rows; without a report (nothing to compare with) only the share of rejects has one."""
    if report is None:
        return [] if settings.thresholds.rejects is None else [_rejects(settings, None, counts)]
    given = settings.thresholds
    _known(given.concepts, report)
    found = [_finding("concept", f, given.concepts, f["text"]) for f in report.of("concept")]
    found += [_finding("label", f, given.labels, f["name"]) for f in report.of("label")]
    found += _families(settings, alarms, report, found)
    if given.auc is not None:
        overall = next(report.of("overall"))
        found.append(_auc(overall, given.auc, alarms.each))
    if given.rejects is not None:
        found.append(_rejects(settings, _all_rejects(report), counts, alarms.each))
    found += _missing(report, given.missing, alarms.each)
    return found


def limit_of(limits: Limits | None, name: str) -> float | None:
    """Its own limit, or the default one; None for off."""
    given = limits or {}
    return given[name] if name in given else given.get("default")


def _known(limits: Limits | None, report: Report) -> None:
    """A fixed lens brings its concepts, so their names can only be checked now."""
    texts = [finding["text"] for finding in report.of("concept")]
    for name in limits or {}:
        if name not in ("default", *texts):
            raise UsageError(
                f"thresholds.concepts names '{name}', but both runs have: {', '.join(texts)}"
            )


def _finding(kind: str, finding: Finding, limits: Limits | None, text: str) -> Row:
    limit = limit_of(limits, text)
    sure = finding["shifted"]
    state = _state(limit, finding["effect"], sure, finding.get("passes", False))
    why = finding.get("explained_by", []) if state == "follows" else []
    return _row(kind, finding["name"], text, finding, limit, state) | {"explained_by": why}


def _state(limit: float | None, effect: float | None, sure: bool, follows: bool) -> str:
    if limit is None:
        return "off"
    if sure:
        return "crossed" if size_of(effect) >= limit else "changed"
    return "follows" if follows else "passed"


def size_of(effect: float | None) -> float:
    """|effect|; JSON has no infinity, which is what none stands for."""
    return math.inf if effect is None else abs(effect)


def _row(kind: str, name: str, text: str, numbers: Finding, limit: float | None, state: str) -> Row:
    effect = numbers["effect"]
    return {
        "kind": kind,
        "name": name,
        "text": text,
        "value": effect,
        "low": numbers.get("low"),
        "high": numbers.get("high"),
        "q": numbers.get("q"),
        "limit": limit,
        "state": state,
        "direction": numbers.get("direction") or ("up" if effect > 0 else "down"),
        "explained_by": [],
    }


def _auc(overall: Finding, limit: float, alpha: float) -> Row:
    sure = overall["effect"] >= limit and overall["p"] < alpha
    row = _row("auc", "auc", "AUC", overall, limit, "crossed" if sure else "passed")
    return row | {"direction": "none"}


def _families(
    settings: Settings, alarms: Alarms, report: Report, others: list[Row]
) -> Iterator[Row]:
    families = settings.thresholds.pairs or {}
    watched = {name: family for name, family in families.items() if family.limit is not None}
    if not watched:
        return
    every = report.pairs()
    causes = _causes(others)
    for name, family in watched.items():
        row = _family(name, family, every, alarms.each / len(watched))
        why = causes.get(row["concept"], []) if abs(row["concept_r"]) >= FOLLOWS_FROM else []
        yield row | {"explained_by": why}


def _causes(rows: list[Row]) -> dict[str, list[str]]:
    """Text of a changed concept → the concepts that crossed their limits and account for it."""
    concepts = [row for row in rows if row["kind"] == "concept"]
    crossed = {row["name"] for row in concepts if row["state"] == "crossed"}
    named = {row["text"]: row["explained_by"] or [row["name"]] for row in concepts}
    return {text: [name for name in names if name in crossed] for text, names in named.items()}


def _family(name: str, family: Family, every: pd.DataFrame, alpha: float) -> Row:
    """The pair of largest |d| among those of the family that changed, or among all of it."""
    chosen = _members(name, family, every)
    q = false_discovery(chosen["p"].to_numpy(np.float64))
    sure = q < alpha
    size = np.where(sure | ~sure.any(), chosen["effect"].abs(), -1)
    place = int(np.argmax(size))
    pair = chosen.iloc[place]
    assert family.limit is not None
    state = _state(family.limit, float(pair["effect"]), bool(sure[place]), False)
    numbers = {key: float(pair[key]) for key in ("effect", "low", "high")} | {"q": float(q[place])}
    words = f": {pair['words']}" if pair["words"] else ""
    text = f"{name} (pair {pair['pair']}, {pair['head']}·{pair['neuron']}{words})"
    more = {"pair": int(pair["pair"]), "concept": pair["concept"]}
    row = _row("pairs", name, text, numbers, family.limit, state)
    return row | more | {"concept_r": float(pair["concept_r"])}


def _members(name: str, family: Family, every: pd.DataFrame) -> pd.DataFrame:
    for column, wanted in (
        ("pair", family.pairs), ("neuron", family.neurons), ("head", family.heads),
    ):  # fmt: skip
        strange = sorted(set(wanted) - set(every[column]))
        if strange:
            last = int(every[column].max())
            raise UsageError(
                f"the pair family '{name}' names {column} {strange[0]}, but the model has "
                f"{column}s 0 to {last}"
            )
        if wanted:
            return every[every[column].isin(wanted)]
    raise UsageError(f"the pair family '{name}' names no pair")


def _all_rejects(report: Report) -> Finding | None:
    return next((f for f in report.of("rejects") if f["name"] == "all"), None)


def _rejects(
    settings: Settings, finding: Finding | None, counts: dict[str, int], alpha: float = 0.0
) -> Row:
    """The share of rejects: surely more than in the baseline, unless that is over the limit too."""
    limit = settings.thresholds.rejects
    assert limit is not None
    rate = counts["rejected"] / counts["read"] if counts["read"] else 0.0
    return _rate("rejects", "rejects", "rejects", rate, limit, finding, alpha)


def _missing(report: Report, limit: float | None, alpha: float) -> Iterator[Row]:
    for finding in report.of("missing"):
        name = finding["name"]
        if name == PER_SHARD:  # no share of anything; shards may be cut in another way
            continue
        row = _rate("missing", name, name, finding["current"], limit or 1.0, finding, alpha)
        yield row if limit is not None else row | {"limit": None, "state": "off"}


def _rate(
    kind: str, name: str, text: str, rate: float, limit: float, other: Finding | None, alpha: float
) -> Row:
    more = other is None or (other["q"] < alpha and other["current"] > other["baseline"])
    crossed = rate >= limit and (more or (other is not None and other["baseline"] >= limit))
    numbers = {"effect": rate, "q": None if other is None else other["q"]}
    row = _row(kind, name, text, numbers, limit, "crossed" if crossed else "passed")
    return row | {"baseline": None if other is None else other["baseline"]}

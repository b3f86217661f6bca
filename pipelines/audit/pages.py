"""The page of an audit and that of its series."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipelines.audit import figures
from pipelines.audit.limits import size_of
from pipelines.audit.series import Verdict
from pipelines.pages.numbers import fixed, percent, probability, signed
from pipelines.pages.study import Figure, Section, Study, study_page

MOST_PANELS = 6
STATES = {
    "crossed": "CROSSED", "changed": "changed, within its limit", "follows": "follows from others",
    "passed": "passed", "off": "not watched",
}  # fmt: skip
ORDER = list(STATES)


def audit_page(verdict: Verdict, trend: Section) -> str:
    """The page of one audit; `trend` reaches up to it."""
    first, *more = verdict["sentence"].split("; ")
    sections = []
    if verdict["causes"]:
        sections.append(Section("Causes", table=_causes(verdict)))
    if verdict["follows"]:
        text = "They vanish when images are weighted so that both sides have as much of the causes."
        sections.append(Section("Changed only because of others", text, _follows(verdict)))
    sections += [trend, Section("Thresholds", _explained(verdict), _thresholds(verdict))]
    if failed := verdict["failed_shards"]:
        table = pd.DataFrame(failed)[["url", "error"]]
        sections.append(Section("Shards that failed, as the configuration allows", table=table))
    return study_page(
        Study(
            title=_upper(first),
            lead=" ".join([*(f"{_upper(clause)}." for clause in more), _lead(verdict)]),
            sections=sections,
            provenance=_provenance(verdict),
            kicker=f"{verdict['audit']} · audit {verdict['number']}, {verdict['name']}: "
            f"{verdict['state']}",
        )
    )


def series_page(verdicts: Sequence[Verdict], trend: Section) -> str:
    """The page of a series: its latest verdict, the trend, and all audits."""
    last = verdicts[-1]
    crossed = [verdict for verdict in verdicts if verdict["state"] == "crossed"]
    table = pd.DataFrame(
        [
            {"number": v["number"], "audit": v["name"], "state": v["state"], "images": v["images"],
             "rejects": v["rejects"], "AUC": v["auc"], "verdict": _upper(v["sentence"])}
            for v in reversed(verdicts)
        ]
    )  # fmt: skip
    first, *more = last["sentence"].split("; ")
    count = f"{len(crossed)} of {len(verdicts)} audits crossed a limit."
    audits = Section("Audits", table=table, percentages=("rejects",))
    return study_page(
        Study(
            title=f"{last['name']}: {first}",
            lead=" ".join([*(f"{_upper(clause)}." for clause in more), count]),
            sections=[trend, audits],
            provenance={"latest audit": last["page"], "run": last["run"]},
            kicker=f"{last['audit']} · series of audits",
        )
    )


def _lead(verdict: Verdict) -> str:
    baseline = verdict["baseline"]
    against = ""
    if baseline is not None:
        which = {"reference": "the reference", "run": "a fixed run"}.get(baseline["kind"])
        which = which or f"the audit {baseline['name']}"
        against = f", compared with {baseline['images']:,} of {which}"
    used = f"{verdict['images']:,} images{against}; {percent(verdict['rejects'])} of the samples"
    return f"{used} could not be used."


def _explained(verdict: Verdict) -> str:
    text = (
        "A limit on a concept, label or pair is crossed by a change that is as large, is sure, and "
        "does not merely follow from another. d is in standard deviations, h in arcsine units; "
        "intervals are at 95 %."
    )
    sure = (
        f"A series in which nothing changes raises any false alarm with a probability of at most "
        f"{percent(verdict['false_alarms'])}; this audit may take {verdict['alpha']:.2g} of it."
    )
    least = verdict["detectable_effect"]
    more = f" At this size a change of d = {fixed(least)} is found four times in five."
    limits = [r["limit"] for r in verdict["thresholds"] if r["kind"] == "concept" and r["limit"]]
    if least and limits and min(limits) < least:
        more += " Smaller ones, though above their limit, are found less often."
    return f"{text}\n\n{sure}{more if least else ''}"


def _thresholds(verdict: Verdict) -> pd.DataFrame:
    rows = sorted(
        verdict["thresholds"],
        key=lambda row: (ORDER.index(row["state"]), -_reach(row), row["name"]),
    )
    return pd.DataFrame(
        [
            {"threshold": row["kind"], "name": row["text"], "value": _shown(row, "value"),
             "interval": _interval(row), "q": probability(row["q"]), "limit": row["limit"],
             "state": STATES[row["state"]]}
            for row in rows
        ]
    )  # fmt: skip


def _reach(row: dict[str, Any]) -> float:
    """How much of its limit a value takes up."""
    return size_of(row["value"]) / (row["limit"] or 1.0)


def _causes(verdict: Verdict) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"cause": row["text"], "kind": row["kind"], "effect": _shown(row, "effect"),
             "interval": _interval(row), "limit": row["limit"], "since": row["since"]}
            for row in verdict["causes"]
        ]
    )  # fmt: skip


def _follows(verdict: Verdict) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"name": row["text"], "kind": row["kind"], "effect": signed(row["effect"], 2),
             "because of": ", ".join(row["explained_by"])}
            for row in verdict["follows"]
        ]
    )  # fmt: skip


def _shown(row: dict[str, Any], key: str) -> str:
    """Effects have a sign; an AUC and rates have none."""
    if row["kind"] in ("rejects", "missing"):
        return percent(row[key])
    return fixed(row[key], 3) if row["kind"] == "auc" else signed(row[key], 2)


def _interval(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return "–"
    shown = fixed if row["kind"] == "auc" else signed
    return f"{shown(row['low'], 2)} to {shown(row['high'], 2)}"


def _first(verdict: Verdict) -> list[str]:
    """The concepts of an audit, those that matter most in it first."""
    rows = [row for row in verdict["thresholds"] if row["kind"] == "concept"]
    rows.sort(key=lambda row: (ORDER.index(row["state"]), -size_of(row["value"])))
    return [row["text"] for row in rows]


def trend_section(trend: pd.DataFrame, last: Verdict) -> Section:
    """The trend up to an audit: concepts that ever raised an alarm first, then its largest."""
    order = _first(last)
    alarmed = set(trend.loc[trend["alarm"], "concept"])
    shown = sorted(order, key=lambda concept: concept not in alarmed)[:MOST_PANELS]
    pictures = [Figure(figures.totals(trend), "AUC, rejects and images over the audits")]
    if shown:
        alt = f"Effects over the audits: {', '.join(shown)}"
        pictures.insert(0, Figure(figures.effects(trend, shown), alt))
    text = (
        "Each audit against its own baseline. Dashed lines are limits, red squares alarms, bars "
        f"intervals at 95 %. {len(shown)} of {len(order)} concepts are shown."
    )
    return Section("Trend", text, figures=pictures)


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _provenance(verdict: Verdict) -> dict[str, Any]:
    baseline = verdict["baseline"] or {}
    names = ("run", "report", "measure", "alpha", "config_sha256")
    return {name: verdict[name] for name in names} | {"baseline": baseline.get("run", "none")}

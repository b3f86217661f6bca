"""The page of an audit and that of its series: made from verdicts, and from what `compare` kept.

The page of an audit is the report under the audit's verdict, with the trend up to that audit; one
with nothing to compare with goes without the report. Nothing is measured here.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from pipelines.audit.axes import written
from pipelines.audit.history import history_of
from pipelines.audit.limits import size_of
from pipelines.audit.readings import ORDER, row_of, texts_of
from pipelines.audit.series import Verdict
from pipelines.pages import report
from pipelines.pages.numbers import percent
from pipelines.pages.page import SCRIPTS, page
from pipelines.pages.report import Model

LOOK = {
    "styles": (*report.STYLES, "audit.css"),
    "scripts": (*SCRIPTS, "audit.js"),
}
PAGES_VERSION = 4  # raised when the pages of the same verdicts look different
STATES = {
    "crossed": "crossed", "changed": "changed, within its limit", "follows": "follows from others",
    "passed": "passed", "off": "not watched",
}  # fmt: skip
COUNTS = {
    "crossed": "crossed", "changed": "changed within their limits", "follows": "follow from others",
    "passed": "passed", "off": "not watched",
}  # fmt: skip
"""Of several thresholds."""
KINDS = {
    "pairs": "pair family", "auc": "classifier", "missing": "missing values", "rejects": "share",
}  # fmt: skip
INDEX = "index.html"


def audit_page(verdicts: Sequence[Verdict], following: str | None, model: Model | None) -> str:
    """The page of the last of these verdicts, which are all up to it.

    Args:
        following: the name of the next audit, if there is one by now.
        model: `page.json` of its report; None where there is none, or one of another version.
    """
    verdict = verdicts[-1]
    title, *clauses = verdict["sentence"].split("; ")
    before = verdicts[-2]["name"] if len(verdicts) > 1 else None
    return page(
        "audit/page.html",
        **LOOK,
        v=verdict,
        title=_upper(title),
        clauses=[_upper(clause) for clause in clauses],
        links={"before": _beside(before), "after": _beside(following)},
        before=before,
        after=following,
        told_apart=_auc(verdict, model),
        crossed=[_crossed(row, verdicts) for row in _in_order(verdict) if _is_crossed(row)],
        follows=list(_follows(verdict)),
        limits=[_limit(row) for row in _in_order(verdict)],
        against=_against(verdict),
        history=history_of(verdicts),
        contents=_contents(verdicts, model),
        url=_beside,
        counts=COUNTS,
        **_of_the_report(model),
    )


def series_page(verdicts: Sequence[Verdict]) -> str:
    """The page of a series: its latest verdict, the trend, and all audits."""
    last = verdicts[-1]
    title, *clauses = last["sentence"].split("; ")
    return page(
        "audit/series.html",
        **LOOK,
        v=last,
        title=_upper(title),
        clauses=[_upper(clause) for clause in clauses],
        told_apart=_auc(last, None),
        count=len([verdict for verdict in verdicts if verdict["state"] == "crossed"]),
        verdicts=list(reversed(verdicts)),
        history=history_of(verdicts),
        sentence=lambda verdict: _upper(verdict["sentence"]),
        url=lambda name: f"audits/{quote(name)}/{INDEX}",
    )


def model_in(found: Any) -> Model | None:
    """What a `page.json` holds, if a page of this version can be made from it."""
    fits = isinstance(found, dict) and found.get("schema_version") == report.VERSION
    return found if fits else None


def _of_the_report(model: Model | None) -> dict[str, Any]:
    """What the parts of the report ask for, from this folder; `m` is None where there is none."""
    if model is None:
        return {"m": None}
    return report.context(model) | {"beside": "in the folder report"}


def _contents(verdicts: Sequence[Verdict], model: Model | None) -> list[tuple[str, str]]:
    """Id and short name of every section that the page has."""
    verdict = verdicts[-1]
    own = [("crossed", "Crossed"), ("history", "Trend"), ("limits", "Limits")]
    lacking = {"crossed"} if verdict["state"] != "crossed" else set()
    lacking |= {"history"} if len(verdicts) == 1 else set()
    theirs = [("alone", "Comparison")] if model is None else model["contents"]
    failed = [("run-health", "Failed shards")] if verdict["failed_shards"] else []
    kept = [entry for entry in own if entry[0] not in lacking]
    return [*kept, *theirs, *failed, ("audit-provenance", "This audit")]


def _beside(name: str | None) -> str | None:
    """From the page of one audit to that of another."""
    return None if name is None else f"../{quote(name)}/{INDEX}"


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _in_order(verdict: Verdict) -> list[dict[str, Any]]:
    """The thresholds, the most urgent first, and of those the nearest to its limit."""
    return sorted(
        verdict["thresholds"],
        key=lambda row: (ORDER.index(row["state"]), -_part(row), row["name"]),
    )


def _part(row: dict[str, Any]) -> float:
    """How much of its limit a value takes up."""
    return size_of(row["value"]) / (row["limit"] or 1.0)


def _is_crossed(row: dict[str, Any]) -> bool:
    return bool(row["state"] == "crossed")


def _auc(verdict: Verdict, model: Model | None) -> dict[str, Any] | None:
    """AUC, its interval and its limit; without a limit the interval is the report's."""
    if verdict["auc"] is None:
        return None
    row = row_of(verdict, "auc", "auc") or {"limit": None, "low": None, "high": None}
    if row["low"] is None and model is not None:
        overall = model["findings"]["overall"]
        row = row | {"low": overall["low"], "high": overall["high"]}
    return {name: row[name] for name in ("low", "high", "limit")} | {"value": verdict["auc"]}


def _limit(row: dict[str, Any]) -> dict[str, Any]:
    """One threshold, as it is written."""
    kind = row["kind"]
    interval = ""
    if row["low"] is not None:
        interval = f"{written(kind, row['low'])} to {written(kind, row['high'])}"
    return row | {
        "label": KINDS.get(kind, kind),
        "text": "unusable samples" if kind == "rejects" else row["text"],
        "shown": "beyond measure" if row["value"] is None else written(kind, row["value"]),
        "interval": interval,
        "limit_shown": _plain(kind, row["limit"]),
        "part": None if row["limit"] is None or row["value"] is None else _part(row),
        "says": STATES[row["state"]],
    }


def _plain(kind: str, limit: float | None) -> str:
    """A limit as the configuration gives it, but shares as percentages."""
    if limit is None:
        return ""
    return percent(limit) if kind in ("rejects", "missing") else f"{limit:g}"


def _crossed(row: dict[str, Any], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """One limit that was crossed: since which audit, and how many in a row."""
    entries = verdicts[-1]["crossed"]
    since = next(
        entry["since"]
        for entry in entries
        if (entry["threshold"], entry["name"]) == (row["kind"], row["name"])
    )
    names = [verdict["name"] for verdict in verdicts]
    count = len(names) - names.index(since)
    because = texts_of(verdicts[-1], row["explained_by"])
    return _limit(row) | {"since": since, "count": count, "because": because}


def _follows(verdict: Verdict) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What changed only because of others, by its causes."""
    rows = [
        (
            " and ".join(texts_of(verdict, row["explained_by"])),
            row | {"shown": written(row["kind"], row["effect"])},
        )
        for row in verdict["follows"]
    ]
    for cause in dict.fromkeys(because for because, _ in rows):
        yield cause, [row for because, row in rows if because == cause]


def _against(verdict: Verdict) -> str:
    """What it was compared with, in a few words."""
    baseline = verdict["baseline"]
    if baseline is None:
        return ""
    kinds = {"reference": "the reference", "run": "a fixed run"}
    return kinds.get(baseline["kind"]) or f"the audit {baseline['name']}"

"""The verdict on one audit: a function of its report, its counts, its limits and the audits before.

It holds no time and no secret, so the same audit always comes to the same bytes.
"""

from collections.abc import Sequence
from typing import Any

from pipelines.analyse.sides import FEWEST_IMAGES
from pipelines.audit.limits import Row, rows_of
from pipelines.audit.plan import AuditPlan
from pipelines.audit.report import counts_of, read_report, too_few
from pipelines.audit.sentence import sentence
from pipelines.audit.series import SCHEMA_VERSION, Verdict
from pipelines.errors import UsageError
from pipelines.io.urls import redact


def verdict_of(plan: AuditPlan, config_sha256: str) -> Verdict:
    """The verdict on a plan whose steps are all done."""
    counts, few = counts_of(plan.run), too_few(plan.run)
    report = None if few or plan.opposite is None else read_report(plan.report)
    rows = rows_of(plan.settings, plan.alarms, report, counts)
    crossed = [row for row in rows if row["state"] == "crossed"]
    if few and not crossed:
        raise UsageError(
            f"{redact(plan.run)} has {counts['written']} images of {counts['read']} samples; an "
            f"audit needs at least {FEWEST_IMAGES}"
        )
    before = plan.series.verdicts(before=plan.alarms.number)
    name = plan.settings.name
    causes = [
        _cause(row, since(row, before, name))
        for row in crossed
        if row["kind"] != "auc" and not row["explained_by"]
    ]
    found = {
        "schema_version": SCHEMA_VERSION,
        "audit": plan.settings.audit,
        "name": name,
        "number": plan.alarms.number,
        "state": "crossed" if crossed else "passed",
        "sentence": "",
        "causes": causes,
        "follows": [_consequence(row) for row in rows if _follows(row)],
        "crossed": [
            {"threshold": row["kind"], "name": row["name"], "value": row["value"],
             "limit": row["limit"], "since": since(row, before, name)}
            for row in crossed
        ],
        "auc": _auc(plan, report),
        "rejects": counts["rejected"] / counts["read"],
        "images": counts["written"],
        "read": counts["read"],
        "alpha": plan.alarms.alpha,
        "alpha_per_kind": {kind: plan.alarms.each for kind in plan.alarms.kinds},
        "false_alarms": plan.settings.schedule.false_alarms,
        "baseline": _baseline(plan),
        "measure": report.summary["measure"] if report else None,
        "detectable_effect": report.summary.get("detectable_effect") if report else None,
        "failed_shards": _failed(plan),
        "run": redact(plan.run),
        "report": redact(plan.report) if report else None,
        "page": redact(plan.series.audit(name, "index.html")),
        "config_sha256": config_sha256,
        "thresholds": rows,
    }  # fmt: skip
    return found | {"sentence": sentence(found)}


def since(row: Row, before: Sequence[Verdict], name: str) -> str:
    """The first audit of the unbroken row up to now in which this crossed its limit."""
    for verdict in reversed(before):
        crossed = {(entry["threshold"], entry["name"]) for entry in verdict["crossed"]}
        if (row["kind"], row["name"]) not in crossed:
            break
        name = verdict["name"]
    return name


def _cause(row: Row, first: str) -> dict[str, Any]:
    kept = ("kind", "name", "text", "direction", "low", "high", "q", "limit")
    return {key: row[key] for key in kept} | {"effect": row["value"], "since": first}


def _follows(row: Row) -> bool:
    return row["state"] == "follows" or (row["state"] == "crossed" and bool(row["explained_by"]))


def _consequence(row: Row) -> dict[str, Any]:
    kept = ("kind", "name", "text", "direction", "limit", "explained_by")
    return {key: row[key] for key in kept} | {"effect": row["value"]}


def _auc(plan: AuditPlan, report: Any) -> float | None:
    return None if report is None else float(next(report.of("overall"))["effect"])


def _baseline(plan: AuditPlan) -> dict[str, Any] | None:
    if plan.opposite is None:
        return None
    opposite = plan.opposite
    images = counts_of(opposite.run)["written"]
    return {
        "kind": opposite.kind, "name": opposite.name, "run": redact(opposite.run), "images": images,
    }  # fmt: skip


def _failed(plan: AuditPlan) -> list[dict[str, Any]]:
    note = plan.series.load("audits", plan.settings.name, "done", "extract.json") or {}
    found: list[dict[str, Any]] = note.get("failed_shards", [])
    return found

"""A verdict in one sentence of plain words."""

from typing import Any

from pipelines.audit.limits import size_of
from pipelines.audit.readings import texts_of
from pipelines.pages.numbers import fixed, percent, signed

Row = dict[str, Any]
MOST = 3  # that are told in full
GREW = {"up": "grew", "down": "shrank", "none": "changed"}


def sentence(verdict: dict[str, Any]) -> str:
    """What happened; the parts of the verdict it is made of must be there."""
    if verdict["baseline"] is None and verdict["state"] == "passed":
        if verdict["number"] == 1:
            return "this is the first audit of the series, so there is nothing to compare with yet"
        return "no earlier audit of the series passed, so there is nothing to compare with yet"
    crossed = [row for row in verdict["thresholds"] if row["state"] == "crossed"]
    if not crossed:
        return _passed(verdict)
    first = sorted(crossed, key=_rank)
    told = [_crossed(row, texts_of(verdict, row["explained_by"])) for row in first[:MOST]]
    if more := len(first) - MOST if len(first) > MOST else 0:
        told.append(f"{more} more crossed {'its limit' if more == 1 else 'their limits'}")
    if verdict["baseline"] is not None and verdict["measure"] is None:
        told.append(f"the {verdict['images']} images that are left are too few to compare")
    return "; ".join([*told, *_follow(verdict, crossed)])


def _rank(row: Row) -> tuple[int, float]:
    """Causes come first, the farthest over its limit before the others."""
    order = ("concept", "label", "pairs", "missing", "rejects", "auc")
    late = len(order) if row["explained_by"] else order.index(row["kind"])
    return late, -size_of(row["value"]) / row["limit"]


def _crossed(row: Row, causes: list[str]) -> str:
    limit = row["limit"]
    if row["kind"] == "auc":
        interval = f"95 % {fixed(row['low'], 3)} to {fixed(row['high'], 3)}"
        return (
            f"a classifier tells the images from the baseline's with AUC {fixed(row['value'], 3)} "
            f"({interval}), above the limit of {limit:g}"
        )
    if row["kind"] in ("rejects", "missing"):
        what = "of the samples could not be used"
        what = what if row["kind"] == "rejects" else f"of the images have no {row['text']}"
        before = row["baseline"]
        against = "" if before is None else f" (baseline {percent(before)})"
        return f"{percent(row['value'])} {what}{against}, above the limit of {percent(limit)}"
    letter = "h" if row["kind"] == "label" else "d"
    interval = f"95 % {signed(row['low'])} to {signed(row['high'])}"
    name = {"label": "the label ", "pairs": "the pair family "}.get(row["kind"], "") + row["text"]
    because = f" because of {' and '.join(causes)}" if causes else ""
    return (
        f"{name} {GREW[row['direction']]}{because} ({letter} = {signed(row['value'])}, {interval}),"
        f" above its limit of {limit:g}"
    )


def _follow(verdict: dict[str, Any], crossed: list[Row]) -> list[str]:
    count = len([row for row in verdict["follows"] if row["kind"] == "concept"])
    if not count:
        return []
    causes = [row for row in crossed if row["kind"] == "concept"]
    whom = "it" if len(causes) == 1 else "them" if causes else "these"
    others = "other concept" if count == 1 else "other concepts"
    return [f"{count} {others} changed only because of {whom}"]


def _passed(verdict: dict[str, Any]) -> str:
    watched = [row for row in verdict["thresholds"] if row["limit"] is not None]
    text = f"none of {len(watched)} limits was crossed"
    changed = [row for row in watched if row["state"] == "changed"]
    if changed:
        largest = max(changed, key=lambda row: size_of(row["value"]) / row["limit"])
        text += (
            f"; the nearest is {largest['text']}, which {GREW[largest['direction']]} "
            f"({signed(largest['value'])}, limit {largest['limit']:g})"
        )
    return text

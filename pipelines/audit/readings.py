"""What the audits of a series measured, one row of readings for each thing that is watched."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipelines.audit.limits import size_of
from pipelines.audit.series import Verdict

EFFECTS = ("concept", "label", "pairs")
SHARES = ("missing",)
MOST_EFFECTS = 6  # drawn, beside AUC, rejects and images
ORDER = ("crossed", "changed", "follows", "passed", "off")
"""States of a threshold, the most urgent first."""


class Reading(NamedTuple):
    """One number of one audit."""

    value: float
    """May be infinite: an effect without any spread behind it."""
    low: float | None
    high: float | None
    limit: float | None
    state: str


class Watched(NamedTuple):
    """One thing over the audits."""

    kind: str
    text: str
    readings: Sequence[Reading | None]
    """One for each audit; None where it was not measured."""


def watched(verdicts: Sequence[Verdict]) -> tuple[list[Watched], int]:
    """What is worth a drawing, and how many other effects the last audit has.

    What ever crossed its limit comes first, then what came nearest to it in the last audit; shares
    of missing values only if they ever crossed; AUC, rejects and images always.
    """
    every = {key: _over(verdicts, *key) for key in _keys(verdicts)}
    ever = {key for key, found in every.items() if any(_crossed(r) for r in found.readings)}
    order = sorted(every, key=lambda key: (key not in ever, *_urgency(every[key])))
    effects = [key for key in order if key[0] in EFFECTS]
    shares = [key for key in order if key[0] in SHARES and key in ever]
    shown = [every[key] for key in [*effects[:MOST_EFFECTS], *shares]]
    return [*shown, *_totals(verdicts)], len(effects[MOST_EFFECTS:])


def _keys(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, str]]:
    """Of the last audit that compared, and whatever crossed its limit in another."""
    kinds = (*EFFECTS, *SHARES)
    every = [[row for row in v["thresholds"] if row["kind"] in kinds] for v in verdicts]
    last: list[dict[str, Any]] = next((rows for rows in reversed(every) if rows), [])
    crossed = [row for rows in every for row in rows if row["state"] == "crossed"]
    return ((row["kind"], row["name"]) for row in [*last, *crossed])


def _over(verdicts: Sequence[Verdict], kind: str, name: str) -> Watched:
    rows = [row_of(verdict, kind, name) for verdict in verdicts]
    readings = [None if row is None else _reading(row) for row in rows]
    texts = [row["text"] for row in rows if row is not None]
    return Watched(kind, name if kind == "pairs" else texts[-1], readings)


def row_of(verdict: Verdict, kind: str, name: str) -> dict[str, Any] | None:
    """The row of a verdict's thresholds, if it has one."""
    rows = verdict["thresholds"]
    return next((row for row in rows if (row["kind"], row["name"]) == (kind, name)), None)


def texts_of(verdict: Verdict, names: list[str]) -> list[str]:
    """Concepts as their own words, where columns name them."""
    rows = [row for row in verdict["thresholds"] if row["kind"] == "concept"]
    texts = {row["name"]: row["text"] for row in rows}
    return [texts.get(name, name) for name in names]


def _reading(row: dict[str, Any]) -> Reading:
    value = row["value"]
    if value is None:  # JSON has no infinity
        value = -math.inf if row["direction"] == "down" else math.inf
    return Reading(value, row["low"], row["high"], row["limit"], row["state"])


def _crossed(reading: Reading | None) -> bool:
    return reading is not None and reading.state == "crossed"


def _urgency(found: Watched) -> tuple[float, float, str]:
    last = next(reading for reading in reversed(found.readings) if reading is not None)
    return ORDER.index(last.state), -size_of(last.value) / (last.limit or 1.0), found.text


def _totals(verdicts: Sequence[Verdict]) -> Iterator[Watched]:
    for kind in ("auc", "rejects"):
        found = []
        for verdict in verdicts:
            row, value = row_of(verdict, kind, kind), verdict[kind]
            plain = None if value is None else Reading(value, None, None, None, "off")
            found.append(_reading(row) if row else plain)
        yield Watched(kind, {"auc": "AUC", "rejects": "unusable samples"}[kind], found)
    images = [Reading(verdict["images"], None, None, None, "off") for verdict in verdicts]
    yield Watched("images", "images", images)

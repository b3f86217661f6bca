"""What a comparison found, in about a dozen lines: the findings first, the rest in the report.

Everything is taken from `findings.json` and `summary.json`, which are what scripts should read.
"""

from collections.abc import Sequence
from typing import Any

from pipelines.pages.numbers import percent, signed
from pipelines.terminal.aligned import (
    WIDTH,
    aligned,
    first_words,
    noted,
    shortened,
    some,
    width,
    wrapped,
)

Finding = dict[str, Any]
MOST_ROWS = 8
MOST_NAMES = 6
CONCEPT = 20  # places at most, for its name
WORDS = {"up": "more", "down": "less", "none": "changed"}


def change_lines(
    findings: Sequence[Finding], summary: dict[str, Any], wide: int = WIDTH
) -> list[str]:
    """The verdict, the AUC, what changed, what follows, what could not be told, data health."""
    concepts = [f for f in findings if f["kind"] == "concept"]
    shifted = [f for f in concepts if f["shifted"]]
    return [
        *wrapped(f"{summary['verdict']}.", wide),
        _auc(next(f for f in findings if f["kind"] == "overall")),
        *_table(shifted, wide),
        *_notes(findings, concepts, summary, wide),
    ]


def _auc(overall: Finding) -> str:
    able = "tells them apart" if overall["shifted"] else "cannot tell them apart"
    interval = f"95 % interval {_interval(overall, '.3f')}"
    return f"A classifier {able}: AUC {overall['effect']:.3f} ({interval})."


def _interval(finding: Finding, form: str) -> str:
    if finding["low"] is None or finding["high"] is None:
        return "unknown"
    return f"{finding['low']:{form}} to {finding['high']:{form}}".replace("-", "−")


def _table(shifted: Sequence[Finding], wide: int) -> list[str]:
    """One line per concept that changed, the largest effect first."""
    if not shifted:
        return [""]
    head = ("concept", "", "d", "95 % interval", "q", "head,neuron", "words")
    rows = [head, *map(_row, shifted[:MOST_ROWS])]
    room = wide - width(aligned([(*row[:-1], "|") for row in rows], (2, 4))[0]) - 1
    rows = [(*row[:-1], first_words(row[-1].split(", "), room)) for row in rows]
    more = len(shifted) - MOST_ROWS
    rest = [f"  and {more} more"] if more > 0 else []
    return ["", *(f"  {line}" for line in aligned(rows, (2, 4))), *rest, ""]


def _row(finding: Finding) -> tuple[str, ...]:
    first, *_ = finding.get("pairs") or [{}]
    place = f"{first['head']},{first['neuron']}" if first else "–"
    return (
        shortened(finding["text"], CONCEPT),
        WORDS[finding["direction"]],
        signed(finding["effect"]),
        _interval(finding, "+.2f"),
        _q(finding["q"]),
        place,
        first.get("words") or "–",
    )


def _q(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _notes(
    findings: Sequence[Finding],
    concepts: Sequence[Finding],
    summary: dict[str, Any],
    wide: int,
) -> list[str]:
    """Aligned remarks under the table, each only where there is something to say."""
    moved = [f for f in concepts if f["passes"] and not f["shifted"]]
    doubtful = [f["text"] for f in moved if not f["explained_by"]]
    hidden = [f["text"] for f in concepts if f["hidden"]]
    notes = [
        ("follows", _following([f for f in moved if f["explained_by"]], concepts)),
        ("not told", _not_told(doubtful, hidden)),
        ("labels", _changed([f for f in findings if f["kind"] == "label"])),
        ("rejects", _rates([f for f in findings if f["kind"] == "rejects"])),
        ("values", _rates([f for f in findings if f["kind"] == "missing"])),
        ("pairs", _pairs(summary["pairs"])),
        ("power", _power(summary["detectable_effect"], summary["floor"])),
    ]
    return noted(notes, wide)


def _following(moved: Sequence[Finding], concepts: Sequence[Finding]) -> str:
    """Those that moved for the same reason and in the same direction together."""
    texts = {f["name"]: f["text"] for f in concepts}
    groups: dict[str, list[str]] = {}
    for f in moved:
        causes = " and ".join(texts[name] for name in f["explained_by"][:2])
        groups.setdefault(f"{WORDS[f['direction']]}, because of {causes}", []).append(f["text"])
    return "; ".join(f"{some(names, MOST_NAMES)} ({why})" for why, names in groups.items())


def _not_told(doubtful: list[str], hidden: list[str]) -> str:
    parts = []
    if doubtful:
        parts.append(f"{some(doubtful, MOST_NAMES)} (moved, but perhaps only with the others)")
    if hidden:
        parts.append(f"{some(hidden, MOST_NAMES)} (changed only with the others balanced)")
    return "; ".join(parts)


def _changed(labels: Sequence[Finding]) -> str:
    named = [f"{f['name']} ({WORDS[f['direction']]})" for f in labels if f["shifted"]]
    if not labels:
        return ""
    return f"{len(named)} of {len(labels)} changed" + (
        f": {some(named, MOST_NAMES)}" if named else ""
    )


def _rates(found: Sequence[Finding]) -> str:
    """Rates that changed, on both sides."""
    named = [
        f"{f['name'].replace('_', ' ')} {percent(f['baseline'], 2)} to {percent(f['current'], 2)}"
        for f in found
        if f["shifted"]
    ]
    return some(named, 3)


def _pairs(pairs: dict[str, int] | None) -> str:
    return f"{pairs['shifted']:,} of {pairs['tested']:,} changed" if pairs else ""


def _power(detectable: float | None, floor: float) -> str:
    if detectable is None:
        return ""
    least = max(detectable, floor)
    return f"a change of d = {least:.2f} is found 4 times in 5, a smaller one less often"

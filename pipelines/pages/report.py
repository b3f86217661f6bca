"""The comparison as one self-contained HTML page."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nhd_ops.shift import delong
from pipelines.analyse.sides import Side
from pipelines.io.files import atomic_write
from pipelines.pages.page import page
from pipelines.pages.pictures import Example, strips

if TYPE_CHECKING:
    from pipelines.analyse.compare import Comparison

MOST_CARDS = 12
MOST_PAIR_ROWS = 40
MOST_TRENDS = 60
BINS = 44
WORDS = {"up": "more", "down": "less", "none": "unchanged"}


@dataclass(frozen=True)
class Card:
    """One concept that changed, with what shows it."""

    finding: dict[str, Any]
    label: dict[str, Any] | None
    """The finding of the label of the same name, where the data have one."""
    chance: float
    """How often a random current image scores above a random baseline one."""
    density: dict[str, Any]
    examples: list[tuple[str, list[Example]]]


def render(comparison: "Comparison") -> None:
    """Write `index.html` into the report folder."""
    text = page_of(comparison)
    atomic_write(f"{comparison.plan.out.rstrip('/')}/index.html", text.encode())


def page_of(comparison: "Comparison") -> str:
    """The page as text."""
    return page(
        "report.html",
        c=comparison,
        s=comparison.summary,
        cards=_cards(comparison),
        kinds={k: comparison.of(k) for k in ("concept", "label", "pair", "rejects", "missing")},
        truth=_truth(comparison),
        trends=_trends(comparison),
        measures=comparison.sides.measures,
        measure={"grounded": "grounded score"}.get(
            comparison.plan.measure, comparison.plan.measure
        ),
        pair_rows=MOST_PAIR_ROWS,
        reach=reach,
        WORDS=WORDS,
    )


def _cards(comparison: "Comparison") -> list[Card]:
    shifted = comparison.shifted()[:MOST_CARDS]
    measure = comparison.plan.measure
    columns = [f"{measure}_{f['name']}" for f in shifted]
    sides = (comparison.sides.baseline, comparison.sides.current)
    pictures = [(side.name, strips(side, columns)) for side in sides]
    labels = {f["name"]: f for f in comparison.of("label")}
    return [
        Card(
            finding,
            labels.get(finding["name"], labels.get(finding["text"])),
            delong(_values(sides[0], column), _values(sides[1], column)).auc,
            _density(_values(sides[0], column), _values(sides[1], column)),
            [(name, strip[column]) for name, strip in pictures],
        )
        for finding, column in zip(shifted, columns, strict=True)
    ]


def _values(side: Side, column: str) -> np.ndarray:
    return side.rows[column].to_numpy(np.float64)


def _density(baseline: np.ndarray, current: np.ndarray) -> dict[str, Any]:
    """Outlines of two histograms over the same bins: SVG paths in a box of 100 by 100."""
    low, high = np.quantile(np.concatenate([baseline, current]), [0.001, 0.999])
    high = high if high > low else low + 1
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(np.clip(x, low, high), edges)[0] / len(x) for x in (baseline, current)]
    top = max(c.max() for c in counts)
    paths = [_outline(c / top) for c in counts]
    return {"low": float(low), "high": float(high), "baseline": paths[0], "current": paths[1]}


def _outline(heights: np.ndarray) -> str:
    xs = np.linspace(0, 100, len(heights) + 1)
    steps = [
        f"L{xs[i]:.2f} {100 - 96 * h:.2f}L{xs[i + 1]:.2f} {100 - 96 * h:.2f}"
        for i, h in enumerate(heights)
    ]
    return "M0 100" + "".join(steps) + "L100 100Z"


def _truth(comparison: "Comparison") -> list[dict[str, Any]]:
    """Per label: the row of the baseline and that of the current side."""
    sides = (comparison.sides.baseline.name, comparison.sides.current.name)
    rows = comparison.truth.to_dict("records")
    return [
        {
            "label": label,
            **{
                which: next(r for r in rows if r["label"] == label and r["side"] == name)
                for which, name in zip(("baseline", "current"), sides, strict=True)
            },
        }
        for label in comparison.sides.labels
    ]


def _trends(comparison: "Comparison") -> list[dict[str, Any]]:
    """Small multiples: the mean of every concept along the values of the column."""
    if comparison.trend is None:
        return []
    order = {f["name"]: f for f in comparison.of("concept")}
    found = []
    for slug in list(order)[:MOST_TRENDS]:
        part = comparison.trend[comparison.trend["concept"] == slug]
        mean, half = part["mean"].to_numpy(), np.nan_to_num(part["half_width"].to_numpy())
        found.append({"finding": order[slug], **_band(mean, half), "values": list(part["value"])})
    return found


def _band(mean: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    """A line and its interval as SVG points in a box of 100 by 40."""
    low, high = (mean - half).min(), (mean + half).max()
    xs = np.linspace(2, 98, len(mean))
    span = high - low if high > low else 1.0

    def points(values: np.ndarray, at: np.ndarray) -> str:
        ys = 38 - 36 * (values - low) / span
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in zip(at, ys, strict=True))

    both = points(np.r_[mean + half, (mean - half)[::-1]], np.r_[xs, xs[::-1]])
    return {"line": points(mean, xs), "band": both, "low": float(low), "high": float(high)}


def reach(findings: list[dict[str, Any]]) -> float:
    """How far an axis around zero must reach to show all intervals."""
    ends = [
        abs(float(f[end])) for f in findings for end in ("low", "high") if math.isfinite(f[end])
    ]
    return 1.04 * max([*ends, 0.05])

"""The comparison as one self-contained HTML page: no network, no inline styles, all data escaped.

The page forbids itself everything by a content security policy; its one style sheet and script
are allowed by their hashes.
"""

import base64
import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from nhd_ops.shift import delong
from pipelines.analyse.sides import MEASURES, Side
from pipelines.io.files import atomic_write
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
    page = page_of(comparison)
    atomic_write(f"{comparison.plan.out.rstrip('/')}/index.html", page.encode())


def page_of(comparison: "Comparison") -> str:
    """The page as text."""
    style, script = (_packaged(name) for name in ("report.css", "report.js"))
    return _environment().get_template("report.html").render(
        c=comparison,
        s=comparison.summary,
        cards=_cards(comparison),
        kinds={k: comparison.of(k) for k in ("concept", "label", "pair", "rejects")},
        truth=_truth(comparison),
        trends=_trends(comparison),
        measures=MEASURES,
        pair_rows=MOST_PAIR_ROWS,
        style=style,
        script=script,
        hashes={"style": _hash(style), "script": _hash(script)},
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "signed": signed,
        "fixed": fixed,
        "probability": probability,
        "percent": percent,
        "thousands": thousands,
        "raw": raw,
    }
    environment.globals |= {"reach": reach, "WORDS": WORDS}
    return environment


def _packaged(name: str) -> str:
    return files("pipelines").joinpath("pages", name).read_text()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


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


def signed(value: Any, digits: int = 2) -> str:
    """+0.40 or −0.15, with a true minus; an en dash where there is no number."""
    if missing(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def fixed(value: Any, digits: int = 2) -> str:
    """A plain number of so many digits, or an en dash."""
    return "–" if missing(value) else f"{value:.{digits}f}".replace("-", "−")


def probability(value: Any) -> str:
    """A p- or q-value as people read it."""
    if missing(value):
        return "–"
    if value >= 0.001:
        return f"{value:.3f}".rstrip("0").rstrip(".") if value < 1 else "1"
    if value < 1e-99:
        return "< 10⁻⁹⁹"
    exponent = math.floor(math.log10(value))
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percent(value: Any, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if missing(value) else f"{100 * value:.{digits}f} %"


def thousands(value: Any) -> str:
    """1,234,567."""
    return "–" if missing(value) else f"{value:,.0f}"


def raw(value: Any) -> str:
    """The full number, for sorting and for machines."""
    return "" if missing(value) else repr(float(value))


def missing(value: Any) -> bool:
    """None or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def reach(findings: list[dict[str, Any]]) -> float:
    """How far an axis around zero must reach to show all intervals."""
    ends = [
        abs(float(f[end])) for f in findings for end in ("low", "high") if math.isfinite(f[end])
    ]
    return 1.04 * max([*ends, 0.05])

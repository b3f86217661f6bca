"""The comparison as one self-contained HTML page."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from nhd_ops.shift import delong
from pipelines.analyse.agreement import agreement
from pipelines.analyse.attribution import Criteria
from pipelines.analyse.sides import Side
from pipelines.analyse.written import plain
from pipelines.io.files import atomic_write, write_json
from pipelines.pages import page as shared
from pipelines.pages.drawings import band, density
from pipelines.pages.glance import glance, named, texts_of
from pipelines.pages.numbers import missing
from pipelines.pages.pictures import strips
from pipelines.pages.sizes import sizes_of

if TYPE_CHECKING:
    from pipelines.analyse.compare import Comparison

VERSION = 2
"""Of the model in page.json."""
MOST_CARDS = 12
MOST_PAIR_ROWS = 40
MOST_TRENDS = 60
SIDES = ("baseline", "current")
KINDS = ("concept", "label", "pair", "rejects", "missing")
WORDS = {"up": "more", "down": "less", "none": "unchanged"}
STYLES = (*shared.STYLES, "report/report.css")
"""The style sheets that the parts of the report need, the page's own first."""
Model = dict[str, Any]
"""What a page shows, as JSON holds it."""


def render(comparison: "Comparison") -> None:
    """Write `page.json`, what the page is made from, and `index.html` into the report folder."""
    out, model = comparison.plan.out.rstrip("/"), model_of(comparison)
    write_json(f"{out}/page.json", model)
    atomic_write(f"{out}/index.html", report_page(model).encode())


def report_page(model: Model) -> str:
    """The page as text, from its model alone."""
    return shared.page("report/page.html", STYLES, **context(model))


def context(model: Model) -> dict[str, Any]:
    """What the parts of the report, `report/body.html` first, ask a page for."""
    return {
        "m": model,
        "s": model["summary"],
        "one": model["sides"]["baseline"],
        "other": model["sides"]["current"],
        "auc": model["summary"]["auc"],
        **{name: model[name] for name in ("cards", "measures", "measure")},
        "reach": reach,
        "named": named,
        "texts_of": texts_of,
        "WORDS": WORDS,
        "beside": "beside this page",
    }


def model_of(comparison: "Comparison") -> Model:
    """All that the page shows, pictures included, as JSON holds it."""
    overall, *_ = comparison.of("overall")
    sides, plan = comparison.sides, comparison.plan
    found = comparison.of("concept")
    model = {
        "schema_version": VERSION,
        "summary": comparison.summary,
        "sides": {which: getattr(sides, which).name for which in SIDES},
        "by": sides.by,
        "measure": {"grounded": "grounded score"}.get(plan.measure, plan.measure),
        "measures": list(sides.measures),
        "findings": {kind: comparison.of(kind) for kind in KINDS} | {"overall": overall},
        "cards": _cards(comparison),
        "agreement": agreement(sides, found, Criteria(plan.alpha, plan.floor)),
        "truth": _truth(comparison),
        "trends": _trends(comparison),
        "sizes": {which: sizes_of(getattr(sides, which)) for which in SIDES},
        "pairs_known": comparison.pairs is not None,
        "rows_of_pairs": MOST_PAIR_ROWS,
    }
    plainly: Model = plain(model)
    plainly["glance"] = [
        {"title": part.title, "points": [point._asdict() for point in part.points]}
        for part in glance(plainly)
    ]
    return plainly | {"contents": contents(plainly)}


def contents(model: Model) -> list[tuple[str, str]]:
    """Id and short name of every section that the page has."""
    found = model["findings"]
    follows = any(f["passes"] and not f["shifted"] for f in found["concept"])
    sections = [
        ("changed", "What changed", model["cards"]),
        ("follows", "Only follows", follows),
        ("concepts", "Every concept", True),
        ("measures", "Measures", model["agreement"]),
        ("trend", f"Along {model['by']}", model["trends"]),
        ("pairs", "Pairs", True),
        ("labels", "Labels", found["label"]),
        ("control", "Control", True),
        ("health", "Data health", True),
        ("method", "Method", True),
        ("provenance", "Provenance", True),
    ]
    return [(section, name) for section, name, there in sections if there]


def _cards(comparison: "Comparison") -> list[dict[str, Any]]:
    """The concepts that changed, with what shows it.

    `label` is the finding of the label of the same name, or None; `chance` how often a random
    current image scores above a random baseline one.
    """
    shifted = comparison.shifted()[:MOST_CARDS]
    measure = comparison.plan.measure
    columns = [f"{measure}_{f['name']}" for f in shifted]
    sides = (comparison.sides.baseline, comparison.sides.current)
    pictures = [(side.name, strips(side, columns)) for side in sides]
    labels = {f["name"]: f for f in comparison.of("label")}
    return [
        {
            "finding": finding,
            "label": labels.get(finding["name"], labels.get(finding["text"])),
            "chance": delong(_values(sides[0], column), _values(sides[1], column)).auc,
            "density": density(_values(sides[0], column), _values(sides[1], column)),
            "strips": [
                {"name": name, "examples": [asdict(example) for example in strip[column]]}
                for name, strip in pictures
            ],
        }
        for finding, column in zip(shifted, columns, strict=True)
    ]


def _values(side: Side, column: str) -> np.ndarray:
    return side.rows[column].to_numpy(np.float64)


def _truth(comparison: "Comparison") -> list[dict[str, Any]]:
    """Per label: the row of the baseline and that of the current side."""
    names = [getattr(comparison.sides, which).name for which in SIDES]
    rows = comparison.truth.to_dict("records")
    return [
        {
            "label": label,
            **{
                which: next(r for r in rows if r["label"] == label and r["side"] == name)
                for which, name in zip(SIDES, names, strict=True)
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
        drawn = band(part["mean"].to_numpy(), np.nan_to_num(part["half_width"].to_numpy()))
        points = part[["value", "images", "mean", "half_width"]].to_dict("records")
        found.append({"finding": order[slug], **drawn, "points": points})
    return found


def reach(findings: list[dict[str, Any]]) -> float:
    """How far an axis around zero must reach to show all intervals."""
    ends = [abs(f[end]) for f in findings for end in ("low", "high") if not missing(f[end])]
    return 1.04 * max([*ends, 0.05])

"""Everything a segmentation leaves for people and machines: JSON, Parquet, pictures, a page."""

import json
import math
from typing import Any

import pandas as pd
import pyarrow as pa

from pipelines.io.classes import Classes
from pipelines.io.files import atomic_write, sha256, write_json, write_parquet
from pipelines.io.store import Run
from pipelines.pages.study import Figure, render_study
from pipelines.segment import page, tables
from pipelines.segment.metrics import scores
from pipelines.segment.overlay import Shown, overlay
from pipelines.segment.plan import SegmentPlan
from pipelines.segment.tables import PAPER
from pipelines.segment.totals import Totals, worst_images

FINAL = ("segmentation.json", "index.html")
"""What is there only if it is of all that is there."""
WORST = 10


def write(
    target: Run, plan: SegmentPlan, classes: Classes, about: dict[str, Any], totals: Totals
) -> dict[str, Any]:
    """Write all of it, `segmentation.json` last; return what that holds."""
    table = tables.settings_table(plan.settings, about["top_pairs"], totals)
    best = tables.best_of_each(table)
    shown = [(int(row.setting), str(row.name_)) for row in _named(best)]
    by_class = tables.classes_table(table, classes, totals)
    figures = _overlays(target, totals, shown, classes)
    images = totals.images.finish()
    atomic_write(target.at("images.parquet"), images)
    _parquet(target, "classes", by_class)
    _parquet(target, "confusion", tables.confusion_table(classes, totals))
    target.delete("rejects.parquet")
    if totals.rejects:
        write_parquet(target.at("rejects.parquet"), totals.rejects_table())
    found = about | {
        "images": dict(totals.counts),
        "seconds": {phase: round(spent, 3) for phase, spent in totals.seconds.items()},
        "results": _results(table, classes, totals),
        "held_out_miou": {k: _number(v) for k, v in tables.held_out(table, totals).items()},
        "leads": _leads(best, totals),
        "files": {"images.parquet": {"bytes": len(images), "sha256": sha256(images)}},
    }
    worst = worst_images(images, shown[0][0], WORST)
    view = page.Findings(found, table, best, by_class, worst, totals.confusion, classes.names)
    render_study(page.study(view, figures), target.at("index.html"))
    write_json(target.at("segmentation.json"), found)
    return found


def summary(found: dict[str, Any]) -> list[str]:
    """What the command prints at its end."""
    counts = found["images"]
    said = ", ".join(f"{counts[name]} {name}" for name in ("measured", "unmasked", "rejected"))
    lines = [f"{said}, of {counts['read']} read"]
    if not counts["measured"]:
        return lines
    results = sorted(found["results"], key=lambda row: -row["miou"])
    return lines + [
        f"  {row['name']}: {100 * row['miou']:.1f} % mIoU "
        f"({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        for row in results
    ]


def read_json(target: Run, name: str) -> dict[str, Any]:
    """One of the folder's JSON files."""
    found: dict[str, Any] = json.loads(target.read(name))
    return found


def _named(best: pd.DataFrame) -> Any:
    return best.rename(columns={"name": "name_"}).itertuples()


def _overlays(target: Run, totals: Totals, shown: Shown, classes: Classes) -> list[Figure]:
    figures = []
    for name in target.names("overlays"):  # of an input that has changed
        target.delete("overlays", name)
    for i, picture in enumerate(totals.pictures):
        png = overlay(picture, shown, classes.names)
        atomic_write(target.at("overlays", f"{i:03d}.png"), png)
        figures.append(Figure(png, f"{picture.key}: the image, its truth, and every method's map"))
    return figures


def _parquet(target: Run, name: str, table: pd.DataFrame) -> None:
    data = pa.Table.from_pandas(table, preserve_index=False)
    write_parquet(target.at(f"{name}.parquet"), data.replace_schema_metadata(None))


def _results(table: pd.DataFrame, classes: Classes, totals: Totals) -> list[dict[str, Any]]:
    iou = scores(totals.confusion).iou
    rows = []
    for row in table.to_dict("records"):
        by_class = dict(zip(classes.names, map(_number, iou[row["setting"]]), strict=True))
        numbers = {
            str(key): _number(value) if isinstance(value, float) else value
            for key, value in row.items()
        }
        rows.append(numbers | {"iou": by_class, "paper_miou": PAPER[row["method"]]})
    return rows


def _leads(best: pd.DataFrame, totals: Totals) -> list[dict[str, Any]]:
    """How far the best method lies above each other one, both in their best setting."""
    first, *others = best.to_dict("records")
    found = []
    for other in others:
        low, high = totals.resamples.difference(first["setting"], other["setting"])
        lead = first["miou"] - other["miou"]
        row = {"method": first["method"], "over": other["method"], "lead": _number(lead)}
        found.append(row | {"low": _number(low), "high": _number(high)})
    return found


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)

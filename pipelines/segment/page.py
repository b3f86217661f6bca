"""The page of a segmentation: its scores beside the paper's, and what the maps look like."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipelines.pages.numbers import percent
from pipelines.pages.study import Figure, Section, Study
from pipelines.segment.figures import confusion_figure, sweep
from pipelines.segment.metrics import Counts
from pipelines.segment.tables import NAMES, PAPER


class Findings(NamedTuple):
    """What the page is made of."""

    found: dict[str, Any]
    """What `segmentation.json` holds."""
    table: pd.DataFrame
    """`tables.settings_table`."""
    best: pd.DataFrame
    """`tables.best_of_each`."""
    by_class: pd.DataFrame
    """`tables.classes_table`."""
    worst: pd.DataFrame
    confusion: Counts
    names: tuple[str, ...]


def study(view: Findings, overlays: list[Figure]) -> Study:
    """The page; without masks there are no scores, only maps."""
    counts = view.found["images"]
    pictures = Section("Pictures", PICTURES, figures=overlays)
    shown = [pictures] if overlays else []
    if counts["measured"]:
        title, sections = _title(view), [_methods(view), *_sweep(view)]
        sections += [_classes(view), *shown, _confusion(view), _worst(view)]
    else:
        segmented = counts["read"] - counts["rejected"]
        title = f"{segmented:,} images in {len(view.names)} classes"
        sections = [*shown, _areas(view)]
    return Study(title, _lead(view), sections, _provenance(view.found), "Segmentation")


def _title(view: Findings) -> str:
    best = view.best.iloc[0]
    subject = "The product" if best["method"] == "product" else _capital(NAMES[best["method"]])
    title = f"{subject} reaches {percent(best['miou'])} mIoU"
    if len(view.best) < 2:
        return title
    lead = view.found["leads"][0]
    over = NAMES[lead["over"]]
    if lead["low"] is None or lead["low"] <= 0:
        return f"{title}, not clearly more than {over}"
    return f"{title}, {100 * lead['lead']:.1f} points above {over}"


def _lead(view: Findings) -> str:
    counts = view.found["images"]
    if not counts["measured"] and not counts["rejected"]:
        return "There are no masks, so nothing is scored."
    parts = [f"{counts['measured']:,} images with masks, {len(view.names)} classes."]
    if counts["unmasked"]:
        parts.append(f"{counts['unmasked']:,} images had no mask and count in no score.")
    if counts["rejected"]:
        parts.append(f"{counts['rejected']:,} samples could not be used (rejects.parquet).")
    if not counts["measured"]:
        return " ".join(["There are no usable masks, so nothing is scored.", *parts[1:]])
    best = view.best.iloc[0]
    low, high = percent(best["low"]), percent(best["high"])
    parts.append(f"{_capital(best['name'])}: 95 % interval {low} to {high}.")
    if leads := [lead for lead in view.found["leads"] if lead["low"] is not None]:
        lead = leads[0]
        low, high = (f"{100 * lead[end]:+.1f}".replace("-", "−") for end in ("low", "high"))
        parts.append(f"Its lead over {NAMES[lead['over']]} lies between {low} and {high} points.")
    held = view.found["held_out_miou"][best["method"]]
    if held is not None and (view.table["method"] == best["method"]).sum() > 1:
        parts.append(f"With its setting chosen on other images, it reaches {percent(held)}.")
    return " ".join(parts)


METHODS = """mIoU is the mean of intersection over union, over the classes that occur in truth or
prediction. Intervals come from 400 bootstrap samples of the images.

The product weighs each head's map by the neurons of the class's k top pairs; the others use one
of the two, or the published baselines. The paper's numbers are those of CLIP RN50x16 on PASCAL
Context-59: another model and another dataset, there for the order of methods, not the level."""

CHOICE = """k is chosen on the images that are scored, which flatters the best point a little.
The last column scores each half of the images with what was best on the other half."""

PICTURES = """The scene, its truth where there is one, and the map of every method in its best
setting, with its mIoU on this image. Colours are the classes'; the scene lies beneath in grey."""


def _methods(view: Findings) -> Section:
    rows = view.table.sort_values("miou", ascending=False, kind="stable")
    shown = pd.DataFrame(
        {
            "method": rows["name"],
            "mIoU": rows["miou"],
            "from": rows["low"],
            "to": rows["high"],
            "pixel accuracy": rows["pixel_accuracy"],
            "mean class accuracy": rows["mean_accuracy"],
            "paper, other model and data": rows["method"].map(PAPER),
        }
    )
    return Section("Methods", METHODS, shown, shown.columns[1:].tolist())


def _sweep(view: Findings) -> list[Section]:
    if len(set(view.table["k"]) - {0}) < 2:
        return []
    held = view.found["held_out_miou"]
    swept = view.best[view.best["k"] > 0]
    shown = pd.DataFrame(
        {
            "method": swept["method"].map(NAMES),
            "best k": swept["k"],
            "mIoU": swept["miou"],
            "setting chosen on other images": swept["method"].map(held).astype(float),
        }
    )
    columns = ["mIoU", "setting chosen on other images"]
    return [Section("How many pairs", CHOICE, shown, columns, [sweep(view.table)])]


def _classes(view: Findings) -> Section:
    chosen = view.by_class[view.by_class["setting"].isin(view.best["setting"])]
    first = chosen[chosen["setting"] == view.best["setting"][0]].set_index("class")
    shown = pd.DataFrame({"class": list(view.names)})
    shown["part of the truth"] = (first["pixels"] / first["pixels"].sum()).to_numpy()
    for row in view.best.to_dict("records"):
        iou = chosen[chosen["setting"] == row["setting"]]["iou"]
        shown[row["name"]] = iou.to_numpy()
    text = "Intersection over union; a dash for classes that occur nowhere."
    return Section("Classes", text, shown, shown.columns[1:].tolist())


def _confusion(view: Findings) -> Section:
    best = view.best.iloc[0]
    text = f"{_capital(best['name'])}. Rows add up to 100 %; every setting is in confusion.parquet."
    counts = view.confusion[int(best["setting"])]
    return Section("What is taken for what", text, figures=[confusion_figure(counts, view.names)])


def _worst(view: Findings) -> Section:
    text = f"By {view.best['name'][0]}; images.parquet has every image in every setting."
    shown = view.worst.rename(columns={"miou": "mIoU", "accuracy": "pixel accuracy"})
    shown = shown if (shown["shard"] != "").any() else shown.drop(columns="shard")
    return Section("Worst images", text, shown, ["mIoU", "pixel accuracy"])


def _areas(view: Findings) -> Section:
    """How much of all images each method gives to each class."""
    shown = pd.DataFrame({"class": list(view.names)})
    for row in view.best.to_dict("records"):
        pixels = view.by_class[view.by_class["setting"] == row["setting"]]["predicted"].to_numpy()
        shown[row["name"]] = pixels / max(1, int(np.sum(pixels)))
    text = "The part of all pixels that each method gives to a class."
    return Section("Areas", text, shown, shown.columns[1:].tolist())


def _provenance(found: dict[str, Any]) -> dict[str, Any]:
    counts, busy = found["images"], found["seconds"]
    spent = sum(busy.get(phase, 0.0) for phase in ("read", "decode", "forward", "write"))
    rate = f"{counts['read'] / max(spent, 1e-9):.2f} images a second"
    view = ", ".join(f"{key} {value}" for key, value in found["view"].items())
    return {
        "model": " ".join(filter(None, (found["model"], found["pretrained"]))),
        "weights": found["weights_sha256"],
        "preprocessing": found["preprocess_id"],
        "view": view,
        "input": found["input"],
        "images": ", ".join(f"{count:,} {name}" for name, count in counts.items()),
        "time": f"{spent:.1f} s of workers' time, {rate}",
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

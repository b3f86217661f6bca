"""Tables of a segmentation: one row per setting, per setting and class, per cell of confusion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipelines.io.classes import Classes
from pipelines.segment.metrics import scores
from pipelines.segment.options import Setting
from pipelines.segment.totals import Totals

NAMES = {
    "product": "product",
    "neurons": "neurons only",
    "heads": "heads only",
    "maskclip": "MaskCLIP",
    "self_self": "self-self attention",
}
PAPER = {"product": 0.262, "heads": 0.247, "maskclip": 0.228, "self_self": 0.222, "neurons": 0.165}
"""mIoU on PASCAL Context-59 of CLIP RN50x16 (arXiv 2509.19943)."""


def settings_table(settings: Sequence[Setting], top_pairs: list[int], totals: Totals) -> Any:
    """setting, method, k (0: none), sink_repair, name, and its scores with mIoU's interval."""
    found = scores(totals.confusion)
    both = len({setting.sink_repair for setting in settings}) > 1
    rows = []
    for i, (setting, k) in enumerate(zip(settings, top_pairs, strict=True)):
        low, high = totals.resamples.interval(i)
        rows.append(
            {
                "setting": i,
                "method": setting.method,
                "k": k,
                "sink_repair": setting.sink_repair,
                "name": _name(setting, k, both),
                "miou": float(found.mean_iou[i]),
                "low": low,
                "high": high,
                "pixel_accuracy": float(found.pixel_accuracy[i]),
                "mean_accuracy": float(found.mean_accuracy[i]),
            }
        )
    return pd.DataFrame(rows)


def _name(setting: Setting, k: int, both: bool) -> str:
    parts = [NAMES[setting.method]]
    parts += [f"k = {k:,}"] if k else []
    parts += [] if setting.sink_repair or not both else ["sink not repaired"]
    return ", ".join(parts)


def best_of_each(table: pd.DataFrame) -> pd.DataFrame:
    """The setting of largest mIoU of every method, the best method first."""
    order = table.sort_values(["miou", "setting"], ascending=[False, True], kind="stable")
    return order.drop_duplicates("method").reset_index(drop=True)


def held_out(table: pd.DataFrame, totals: Totals) -> dict[str, float]:
    """By method, mIoU where each half of the images is scored in the other half's best setting."""
    groups = table.groupby("method", sort=False)["setting"]
    return {str(method): totals.resamples.held_out(list(g)) for method, g in groups}


def classes_table(table: pd.DataFrame, classes: Classes, totals: Totals) -> pd.DataFrame:
    """A row per setting and class: iou, accuracy, and pixels of truth and prediction."""
    found = scores(totals.confusion)
    many = len(classes)
    rows = table.loc[table.index.repeat(many), ["setting", "method", "k", "sink_repair"]]
    rows = rows.reset_index(drop=True)
    rows["class_id"] = np.tile(np.arange(many), len(table))
    rows["class"] = list(classes.names) * len(table)
    rows["iou"], rows["accuracy"] = found.iou.ravel(), found.accuracy.ravel()
    rows["pixels"] = totals.confusion.sum(2).ravel()
    rows["predicted"] = totals.predicted.ravel()
    return rows


def confusion_table(classes: Classes, totals: Totals) -> pd.DataFrame:
    """setting, truth, predicted, pixels: the cells that are not empty."""
    setting, true, predicted = np.nonzero(totals.confusion)
    names = np.array(classes.names)
    pixels = totals.confusion[setting, true, predicted]
    columns = {"setting": setting, "truth": names[true], "predicted": names[predicted]}
    return pd.DataFrame(columns | {"pixels": pixels})

"""Figures of a segmentation: scores by k, and what is taken for what."""

import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter, PercentFormatter

from pipelines.pages.study import Figure
from pipelines.segment.metrics import Counts, ratio
from pipelines.segment.tables import NAMES

DPI = 200  # twice what the page shows
METHODS = dict(zip(NAMES, ("#c2410c", "#1d4ed8", "#0f766e", "#7c3aed", "#a16207"), strict=True))
CELLS = 24  # classes whose names and numbers can be read


def sweep(table: pd.DataFrame) -> Figure:
    """mIoU by k with its interval; methods without k are horizontal lines."""
    canvas = Canvas(figsize=(9, 4.2), dpi=DPI, layout="constrained")
    axes: Axes = canvas.subplots()
    for (method, repair), rows in table.groupby(["method", "sink_repair"], sort=False):
        name = NAMES[str(method)] + ("" if repair else ", sink not repaired")
        colour = METHODS[str(method)]
        style: dict[str, Any] = {"color": colour, "linestyle": "-" if repair else ":"}
        if (rows["k"] == 0).all():
            axes.axhline(rows["miou"].iloc[0], label=name, linewidth=1.2, **style)
            continue
        line = rows.sort_values("k")
        axes.plot(line["k"], line["miou"], marker="o", markersize=4, label=name, **style)
        axes.fill_between(line["k"], line["low"], line["high"], alpha=0.12, color=colour)
    ks = sorted(set(table["k"]) - {0})
    axes.set_xscale("log")
    axes.set_xticks(ks, [f"{k:,}" for k in ks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="k, pairs per class (logarithmic)", ylabel="mIoU", ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return Figure(png_of(canvas), "mIoU of every method by the number of pairs per class")


def confusion_figure(counts: Counts, names: tuple[str, ...]) -> Figure:
    """Of each true class's pixels, the part that is predicted as each class."""
    parts = ratio(counts, counts.sum(1, keepdims=True))
    side = min(10.0, 2.4 + 0.36 * len(names))
    canvas = Canvas(figsize=(side + 0.6, side), dpi=DPI, layout="constrained")
    axes = canvas.subplots()
    shown = axes.imshow(np.nan_to_num(parts), cmap="Blues", vmin=0, vmax=1)
    canvas.colorbar(shown, ax=axes, shrink=0.6, format=PercentFormatter(1, decimals=0))
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= 2 * CELLS + 12:
        size = 8 if len(names) <= CELLS else 5.5
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
    if len(names) <= CELLS:
        for row, column in zip(*np.nonzero(np.nan_to_num(parts) >= 0.05), strict=True):
            part = parts[row, column]
            style: dict[str, Any] = {
                "color": "white" if part > 0.55 else "#1f2937",
                "fontsize": 6.5,
            }
            axes.text(column, row, f"{100 * part:.0f}", ha="center", va="center", **style)
    return Figure(png_of(canvas), "Of every true class, the part predicted as each class")


def png_of(canvas: Canvas) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()

"""The trend as figures: each concept's effect over the audits, then AUC, rejects and images."""

import io

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

INK, ALARM, LIMIT = "#1f5fa8", "#b3261e", "#b3261e"
COLUMNS = 3
MOST_NAMES = 8  # on an axis; more would overlap


def effects(trend: pd.DataFrame, concepts: list[str]) -> bytes:
    """PNG: one panel per concept; intervals, limits as dashed lines, alarms as filled squares."""
    rows = -(-len(concepts) // COLUMNS)
    columns = min(COLUMNS, len(concepts))
    figure = Figure(figsize=(4.2 * columns, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    audits = _audits(trend)
    for axes, concept in zip(panels, concepts, strict=False):
        _effect(axes, trend[trend["concept"] == concept], concept)
        _dress(axes, audits)
    for axes in panels[len(concepts) :]:
        axes.set_axis_off()
    return _png(figure)


def totals(trend: pd.DataFrame) -> bytes:
    """PNG: AUC, share of rejects and number of images, over the audits."""
    figure = Figure(figsize=(12.6, 2.6), layout="constrained")
    audits = _audits(trend)
    shown = {"auc": "AUC", "rejects": "rejects (%)", "images": "images"}
    for axes, (name, title) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        values = audits[name].astype(float) * (100 if name == "rejects" else 1)
        axes.plot(audits["number"], values, "o-", color=INK, ms=4, lw=1)
        axes.set_title(title, fontsize=10, loc="left")
        if name == "auc":
            axes.axhline(0.5, color="#888888", lw=0.8)
        else:
            axes.set_ylim(0, max(values.max() * 1.15, 1))
        _dress(axes, audits)
    return _png(figure)


def _effect(axes: Axes, own: pd.DataFrame, concept: str) -> None:
    own = own[own["effect"].notna()]
    axes.axhline(0, color="#888888", lw=0.8)
    for sign in (1, -1):
        axes.plot(own["number"], sign * own["limit"], "--", color=LIMIT, lw=0.9)
    axes.vlines(own["number"], own["low"], own["high"], color=INK, lw=1.4)
    axes.plot(own["number"], own["effect"], "-", color=INK, lw=0.8)
    for alarm, mark, colour in ((False, "o", INK), (True, "s", ALARM)):
        some = own[own["alarm"] == alarm]
        axes.plot(some["number"], some["effect"], mark, color=colour, ms=7 if alarm else 4)
    axes.set_title(concept, fontsize=10, loc="left")


def _audits(trend: pd.DataFrame) -> pd.DataFrame:
    return trend.drop_duplicates("number").sort_values("number")


def _dress(axes: Axes, audits: pd.DataFrame) -> None:
    """The audits' names below, not more of them than can be read; the last always."""
    step = -(-len(audits) // MOST_NAMES)
    named = audits.iloc[::-1].iloc[::step]
    axes.xaxis.set_major_locator(FixedLocator(named["number"].tolist()))
    axes.set_xticklabels(named["name"].tolist(), fontsize=8, rotation=35, ha="right")
    axes.set_xlim(audits["number"].min() - 0.5, audits["number"].max() + 0.5)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue()

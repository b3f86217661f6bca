"""The figures of an evaluation, as PNG at twice the size of the page."""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluate.evaluation import Evaluation
from pipelines.evaluate.monosemantic import important

COLOURS = {"pairs": "#1f5fa8", "neurons": "#c4531a", "heads": "#4d8a3d"}
TITLES = {
    "inertia": "Inertia (lower: more monosemantic)",
    "clarity": "Clarity (higher: more monosemantic)",
    "polysemanticity": "2-means measure (lower: more monosemantic)",
}


def figures(found: Evaluation) -> dict[str, bytes]:
    """Name → PNG: `ablation`, `polysemanticity`, and `text` where codes were made."""
    made: dict[str, Callable[[Evaluation], Figure]] = {
        "ablation": ablation,
        "polysemanticity": polysemanticity,
    }
    if found.design.atoms:
        made["text"] = text
    return {name: _png(make(found)) for name, make in made.items()}


def ablation(found: Evaluation) -> Figure:
    """Accuracy over the share of kept units, by importance and at random."""
    figure, (axes,) = _figure(9.0, 4.6, 1)
    table = found.rows[(found.rows["experiment"] == "ablation") & (found.rows["keep"] > 0)]
    for unit, colour in COLOURS.items():
        own = table[table["unit"] == unit]
        ranked, random = own[~own["control"]], own[own["control"]]
        axes.plot(
            100 * ranked["keep"], 100 * ranked["accuracy"], "o-", color=colour, ms=4,
            label=f"{unit}, by importance",
        )  # fmt: skip
        if len(random):
            bands = random.groupby("keep")["accuracy"].agg(["mean", "min", "max"])
            axes.plot(100 * bands.index, 100 * bands["mean"], "--", color=colour, lw=1.2,
                      label=f"{unit}, at random")  # fmt: skip
            axes.fill_between(
                100 * bands.index, 100 * bands["min"], 100 * bands["max"], color=colour, alpha=0.15
            )
    _original(axes, found)
    axes.set_xscale("log")
    ticks = sorted(set(100 * table.loc[table["unit"] == "pairs", "keep"]))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("kept units (%), the others at their mean")
    _accuracy_axis(axes)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def text(found: Evaluation) -> Figure:
    """Accuracy over the number of words per direction, pairs and neurons."""
    figure, (axes,) = _figure(9.0, 4.2, 1)
    table = found.rows[found.rows["experiment"] == "text"]
    for unit in ("pairs", "neurons"):
        own = table[table["unit"] == unit]
        accuracy, low, high = (100 * own[name] for name in ("accuracy", "low", "high"))
        axes.fill_between(own["atoms"], low, high, color=COLOURS[unit], alpha=0.15)
        axes.plot(own["atoms"], accuracy, "o-", color=COLOURS[unit], ms=4, label=unit)
    rank_one = found.rows[(found.rows["unit"] == "neurons") & (found.rows["k"] == 1)]
    if len(rank_one):
        level = 100 * rank_one["accuracy"].iloc[0]
        axes.axhline(level, color=COLOURS["neurons"], ls=":", lw=1.2,
                     label="neurons, their component itself")  # fmt: skip
    _original(axes, found)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(found.design.atoms), [str(m) for m in found.design.atoms])
    axes.set_xlabel("words per direction (atoms of its sparse code)")
    _accuracy_axis(axes)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def polysemanticity(found: Evaluation) -> Figure:
    """Cumulative distributions of the three measures: pairs, important pairs, neurons."""
    figure, panels = _figure(11.0, 3.8, 3)
    alive = found.alike.alive
    groups = {
        "pairs": (alive[None].expand_as(found.alike.importance), COLOURS["pairs"], "-"),
        "the 20 % most important pairs": (important(found.alike), COLOURS["pairs"], "--"),
    }
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        for label, (chosen, colour, style) in groups.items():
            values = getattr(found.alike.pairs, name)[chosen]
            _cumulative(axes, values.double().numpy(), colour, style, label)
        own = getattr(found.alike.neurons, name)[alive].double().numpy()
        _cumulative(axes, own, COLOURS["neurons"], "-", "neurons")
        axes.set_title(title, fontsize=10)
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("units at or below (%)")
    panels[0].legend(frameon=False, fontsize=8.5, loc="upper left")
    return figure


def _cumulative(axes: Axes, values: np.ndarray, colour: str, style: str, label: str) -> None:
    places = np.linspace(0, 1, min(len(values), 512))
    axes.plot(np.quantile(values, places), 100 * places, style, color=colour, label=label)


def _original(axes: Axes, found: Evaluation) -> None:
    level = 100 * found.row("original", "pairs")["accuracy"]
    axes.axhline(level, color="#555555", lw=1, label=f"original, {level:.1f} %")


def _accuracy_axis(axes: Axes) -> None:
    axes.set_ylabel("zero-shot accuracy (%)")
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.25)


def _figure(width: float, height: float, panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0].tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue()

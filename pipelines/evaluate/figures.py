"""The figures of an evaluation, as PNG at twice the size of the page."""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluate.evaluation import Evaluation
from pipelines.evaluate.monosemantic import IMPORTANT, better_pairs, important

COLOURS = {"pairs": "#1f5fa8", "neurons": "#c4531a", "heads": "#4d8a3d"}
TITLES = {
    "inertia": "inertia (lower: more monosemantic)",
    "clarity": "clarity (higher: more monosemantic)",
    "polysemanticity": "2-means measure (lower: more monosemantic)",
}

IMPORTANT_ONES = f", the {100 * IMPORTANT:.0f} % most important"
LABELLED = (1, 2, 5, 10, 20, 50, 100)  # ticks of the axis of kept units; more would overlap


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
    axes.set_xticks(LABELLED, [str(tick) for tick in LABELLED])
    axes.minorticks_off()
    axes.set_xlabel("kept units (%), the others at their mean")
    _accuracy_axis(axes)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def text(found: Evaluation) -> Figure:
    """Accuracy, and explained variance, over the number of words per direction."""
    figure, panels = _figure(11.0, 4.2, 2)
    table = found.rows[found.rows["experiment"] == "text"]
    component = found.rows[(found.rows["unit"] == "neurons") & (found.rows["k"] == 1)]
    for axes, name in zip(panels, ("accuracy", "explained"), strict=True):
        for unit in ("pairs", "neurons"):
            own = table[table["unit"] == unit]
            axes.plot(own["atoms"], 100 * own[name], "o-", color=COLOURS[unit], ms=4, label=unit)
            if name == "accuracy":
                low, high = 100 * own["low"], 100 * own["high"]
                axes.fill_between(own["atoms"], low, high, color=COLOURS[unit], alpha=0.15)
        if len(component):
            level = 100 * component[name].iloc[0]
            axes.axhline(level, color=COLOURS["neurons"], ls=":", lw=1.2,
                         label="neurons, by their first component itself")  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(found.design.atoms), [str(m) for m in found.design.atoms])
        axes.set_xlabel("words per direction (atoms of its sparse code)")
    _original(panels[0], found)
    _accuracy_axis(panels[0])
    _accuracy_axis(panels[1], "variance of the embeddings explained (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=4, loc="outside upper center")
    return figure


def polysemanticity(found: Evaluation) -> Figure:
    """Cumulative distributions of the measures, and of each neuron's share of purer pairs."""
    figure, panels = _figure(13.0, 4.2, 4)
    alike, top = found.alike, important(found.alike)
    every = alike.alive[None].expand_as(alike.importance), alike.alive
    for axes, (name, title) in zip(panels[:3], TITLES.items(), strict=True):
        for (pairs, neurons), style, which in ((every, "-", ""), (top, "--", IMPORTANT_ONES)):
            for unit, chosen in (("pairs", pairs), ("neurons", neurons)):
                values = getattr(getattr(alike, unit), name)[chosen].double().numpy()
                _cumulative(axes, values, COLOURS[unit], style, unit + which)
        axes.set_xlabel(title, fontsize=9)
    for (pairs, _), style in ((every, "-"), (top, "--")):
        share = better_pairs(alike, "inertia", pairs)
        _cumulative(panels[3], 100 * share[~share.isnan()].numpy(), "#555555", style, "")
    panels[3].axvline(50, color="#555555", lw=0.8, ls=":")
    panels[3].set_xlabel("neuron's pairs of lower inertia than it (%)", fontsize=9)
    for axes in panels:
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("units at or below (%)")
    panels[3].set_ylabel("neurons at or below (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=4, loc="outside upper center")
    return figure


def _cumulative(axes: Axes, values: np.ndarray, colour: str, style: str, label: str) -> None:
    places = np.linspace(0, 1, min(len(values), 512))
    axes.plot(np.quantile(values, places), 100 * places, style, color=colour, label=label)


def _original(axes: Axes, found: Evaluation) -> None:
    level = 100 * found.row("original", "pairs")["accuracy"]
    axes.axhline(level, color="#555555", lw=1, label=f"original, {level:.1f} %")


def _accuracy_axis(axes: Axes, label: str = "zero-shot accuracy (%)") -> None:
    axes.set_ylabel(label)
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

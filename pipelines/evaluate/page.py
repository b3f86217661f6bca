"""An evaluation as one page: what the pairs keep, beside the paper's numbers."""

import numpy as np
import pandas as pd

from pipelines.evaluate.evaluation import Evaluation
from pipelines.evaluate.figures import figures
from pipelines.io.files import atomic_write
from pipelines.io.store import Run
from pipelines.pages.numbers import percent, thousands
from pipelines.pages.study import Figure, Section, Study, render_study

KEPT = 0.05  # the share of units that the headline tells of
PAPER_LABELS = {"yellow": 0.85, "convertible": 0.71}
"""Point-biserial r of the share, Stanford Cars, in arXiv 2509.19943."""


def headline(found: Evaluation) -> str:
    """The finding in a sentence, without its full stop."""
    original = percent(found.row("original", "pairs")["accuracy"])
    kept = {
        unit: percent(found.row("ablation", unit, keep=KEPT)["accuracy"])
        for unit in ("pairs", "neurons")
        if KEPT in found.design.fractions
    }
    if not kept:
        return f"All pairs together reach {original}"
    return (
        f"{100 * KEPT:.0f} % of the pairs keep {kept['pairs']} accuracy of {original}, "
        f"{100 * KEPT:.0f} % of the neurons {kept['neurons']}"
    )


def write_page(out: Run, found: Evaluation) -> None:
    """index.html, and its figures as files."""
    pictures = figures(found)
    for name, png in pictures.items():
        atomic_write(out.at(f"{name}.png"), png)
    sections = [
        _beside_the_paper(found),
        _ablation(found, pictures["ablation"]),
        *([_text(found, pictures["text"])] if "text" in pictures else []),
        _monosemantic(found, pictures["polysemanticity"]),
        *([_labels(found)] if len(found.labels) else []),
    ]
    study = Study(headline(found), _lead(found), sections, _provenance(found), "nhd evaluate")
    render_study(study, out.at("index.html"))


def _lead(found: Evaluation) -> str:
    model = found.provenance["model"]
    seen = found.seen
    dropped = [
        f"{thousands(seen[name])} {why}"
        for name, why in (
            ("rejected", "could not be decoded"),
            ("unlabelled", f"have no field {found.provenance['truth']}"),
            ("unknown", "name no known class"),
        )
        if seen[name]
    ]
    return (
        f"Zero-shot accuracy of {model} on {thousands(seen['images'])} images and "
        f"{thousands(found.provenance['classes'])} classes, of the embedding as it is and of "
        "embeddings put together from less. All of it is computed from one pass over the images."
        + (f" Of {thousands(seen['read'])} images read, {', '.join(dropped)}." if dropped else "")
    )


def _beside_the_paper(found: Evaluation) -> Section:
    rows = found.rows
    asked = rows["experiment"].isin(["original", "rank"]) | rows["paper"].notna()
    table = rows[asked & ~rows["control"]]
    shown = pd.DataFrame(
        {
            "experiment": [_name(row) for _, row in table.iterrows()],
            "accuracy": table["accuracy"],
            "from": table["low"],
            "to": table["high"],
            "as the original": table["agree"],
            "images": table["images"],
            "what it is": table["kind"],
            "paper: RN50x16, ImageNet": table["paper"],
        }
    )
    return Section("Beside the paper", _beside_text(found), shown.reset_index(drop=True), PERCENT)


PERCENT = ("accuracy", "from", "to", "as the original", "paper: RN50x16, ImageNet", "at random")


def _beside_text(found: Evaluation) -> str:
    checked, equal = found.seen["checked"], found.seen["equal"]
    check = (
        f"Check: on {thousands(checked)} images, the first batch of every shard, "
        f"model.encode_image was run as well; {thousands(equal)} of them get the same class."
        if checked
        else "The coefficients are those that extraction stored, rounded to half precision."
    )
    return (
        "The last column is another model on another dataset (arXiv 2509.19943, RN50x16 on "
        "ImageNet): compare the order and the losses, not the levels. Intervals are Wilson's, "
        "95 %; “as the original” is the share of images that get the class they get from the "
        "whole embedding.\n\n"
        "What is an identity is true of any model and any images, and shows only that the "
        "computation is right: a pair's contribution is a scalar times a fixed vector, so it has "
        "rank 1 and its first component is everything. Findings could have come out otherwise.\n\n"
        + check
    )


def _ablation(found: Evaluation, png: bytes) -> Section:
    rows = found.rows[found.rows["experiment"] == "ablation"]
    keys = ["unit", "keep", "kept"]
    ranked = rows[~rows["control"]].set_index(keys)
    random = rows[rows["control"]].groupby(keys)["accuracy"].agg(["mean", "min", "max"])
    table = ranked.join(random).reset_index()  # in the order of the design
    order = {unit: i for i, unit in enumerate(("pairs", "neurons", "heads"))}
    table = table.sort_values(
        ["unit", "kept"], key=lambda c: c.map(order) if c.name == "unit" else c
    )
    spread = [
        "–" if np.isnan(low) else f"{percent(low)} to {percent(high)}"
        for low, high in zip(table["min"], table["max"], strict=True)
    ]
    shown = pd.DataFrame(
        {
            "units": table["unit"],
            "kept": [f"{100 * keep:g} %" for keep in table["keep"]],
            "number": table["kept"],
            "accuracy": table["accuracy"],
            "from": table["low"],
            "to": table["high"],
            "at random": table["mean"],
            f"range of {len(found.design.seeds)} draws": spread,
            "what it is": table["kind"],
        }
    )
    alt = "Accuracy over the share of kept pairs, neurons and heads, by importance and at random"
    return Section(
        "Mean ablation",
        "The most important units keep their coefficients, all others are set to their mean over "
        "the run. Keeping all is the original and keeping none a constant, whatever the data. "
        "Bands: the range over random choices of as many units.\n\n"
        "Importance of a pair is the mean of its 50 largest centred norms. Of neurons and heads "
        "one pass over the images keeps the 50 images of largest uncentred norm, and importance "
        "is the mean centred norm over these.",
        shown,
        PERCENT,
        [Figure(png, alt)],
    )


def _text(found: Evaluation, png: bytes) -> Section:
    table = found.rows[found.rows["experiment"] == "text"]
    shown = pd.DataFrame(
        {
            "directions of": table["unit"],
            "words": table["atoms"],
            "accuracy": table["accuracy"],
            "from": table["low"],
            "to": table["high"],
            "as the original": table["agree"],
            "what it is": table["kind"],
        }
    )
    alt = "Accuracy over the number of words per direction, for pairs and for neurons"
    return Section(
        "From words",
        "Each direction is replaced by what its sparse code of so many words rebuilds, scaled to "
        "unit length, and contributions are projected on that. A neuron has one direction, its "
        "first component, so it cannot exceed what that component reaches; pairs have no such "
        "limit, and as many words as dimensions rebuild everything if the words span the space.",
        shown.reset_index(drop=True),
        PERCENT,
        [Figure(png, alt)],
    )


def _monosemantic(found: Evaluation, png: bytes) -> Section:
    t = found.monosemantic
    shown = pd.DataFrame(
        {
            "measure": t["measure"],
            "images by": t["images_by"],
            "pairs": t["pairs"],
            "median of pairs": t["median_pairs"],
            "median of neurons": t["median_neurons"],
            "pairs better than their neuron": t["better"],
            "neurons with most pairs better": t["neurons_with_most_better"],
            "number of pairs": t["pairs_counted"],
        }
    )
    percentages = ["pairs better than their neuron", "neurons with most pairs better"]
    alt = "Cumulative distributions of inertia, clarity and the 2-means measure"
    return Section(
        f"Polysemanticity: {_verdict(t)}",
        "How alike are the ten images on which a unit's contribution is largest? Inertia is the "
        "paper's measure, clarity and the 2-means measure are those of arXiv 2505.20229. “Better” "
        "means more monosemantic: of lower inertia, higher clarity, a lower 2-means measure. The "
        "paper claims that pairs are more monosemantic than neurons.\n\n"
        "Images are chosen by the norm of the contribution, for pairs and neurons alike. The rows "
        "“centred norm” choose by the distance from the mean instead, for neurons only among the "
        "50 images of largest norm, since one pass keeps no others. Pairs of neurons that do not "
        f"vary are left out ({int((~found.alike.alive).sum())} neurons).",
        shown.reset_index(drop=True),
        percentages,
        [Figure(png, alt)],
    )


def _verdict(table: pd.DataFrame) -> str:
    """By the paper's measure, in words."""
    first = table[(table["measure"] == "inertia") & (table["images_by"] == "norm")].iloc[0]
    return f"{percent(first['better'])} of the pairs are of lower inertia than their neuron"


def _labels(found: Evaluation) -> Section:
    t = found.labels
    shown = pd.DataFrame(
        {
            "label": t["label"],
            "images with it": t["images"],
            "r of share": t["r_share"],
            "r of score": t["r_score"],
            "r of similarity": t["r_similarity"],
            "paper: share, Stanford Cars": [PAPER_LABELS.get(name) for name in t["label"]],
        }
    )
    return Section(
        "Concepts against labels",
        "Point-biserial correlation, over the run's images, of each concept's measures with the "
        "label of the same name. Similarity needs no decomposition. The paper's labels of "
        "“yellow” and “convertible” are of Stanford Cars.",
        shown,
    )


def _name(row: pd.Series) -> str:
    unit = row["unit"]
    if row["experiment"] == "original":
        return "original" if unit == "pairs" else "model.encode_image"
    if row["experiment"] == "rank":
        many = "component" if row["k"] == 1 else "components"
        return f"{unit}, {row['k']:.0f} {many} each"
    return f"{unit}, {100 * row['keep']:g} % kept"


def _provenance(found: Evaluation) -> dict[str, object]:
    flat = {k: v for k, v in found.provenance.items() if k != "design" and v is not None}
    design = found.provenance["design"]
    return flat | {f"design: {k}": v for k, v in design.items()}

"""The sections of an evaluation's page: each a table with what can be read from it."""

import numpy as np
import pandas as pd

from pipelines.evaluate.evaluation import Evaluation
from pipelines.pages.numbers import percent, thousands
from pipelines.pages.study import Figure, Section

PAPER_LABELS = {"yellow": 0.85, "convertible": 0.71}
"""Point-biserial r of the share, Stanford Cars, in arXiv 2509.19943."""
PERCENTAGES = (
    "accuracy",
    "from",
    "to",
    "as the original",
    "variance explained",
    "at random",
    "paper: RN50x16, ImageNet",
)


def beside_the_paper(found: Evaluation) -> Section:
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
            "variance explained": table["explained"],
            "images": table["images"].astype(int),
            "what it is": table["kind"],
            "paper: RN50x16, ImageNet": table["paper"],
        }
    )
    return Section(
        "Beside the paper", _beside_text(found), shown.reset_index(drop=True), PERCENTAGES
    )


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
        "whole embedding, and “variance explained” tells reconstructions apart where accuracy "
        "does not: 1 less the squared error, relative to the spread about the mean.\n\n"
        "What is an identity is true of any model and any images, and shows only that the "
        "computation is right: a pair's contribution is a scalar times a fixed vector, so it has "
        "rank 1 and its first component is everything. Findings could have come out otherwise.\n\n"
        + check
    )


def ablation(found: Evaluation, png: bytes) -> Section:
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
            "number": table["kept"].astype(int),
            "accuracy": table["accuracy"],
            "from": table["low"],
            "to": table["high"],
            "variance explained": table["explained"],
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
        PERCENTAGES,
        [Figure(png, alt)],
    )


def text(found: Evaluation, png: bytes) -> Section:
    table = found.rows[found.rows["experiment"] == "text"]
    shown = pd.DataFrame(
        {
            "directions of": table["unit"],
            "words": table["atoms"].astype(int),
            "accuracy": table["accuracy"],
            "from": table["low"],
            "to": table["high"],
            "as the original": table["agree"],
            "variance explained": table["explained"],
            "what it is": table["kind"],
        }
    )
    alt = "Accuracy and explained variance over the number of words, for pairs and for neurons"
    return Section(
        "From words",
        "Each direction is replaced by what its sparse code of so many words rebuilds, scaled to "
        "unit length, and contributions are projected on that. A neuron has one direction, its "
        "first component, so words at best bring back what that component keeps. For pairs there "
        "is no such limit: as many words as dimensions rebuild everything, if they span the space.",
        shown.reset_index(drop=True),
        PERCENTAGES,
        [Figure(png, alt)],
    )


def monosemantic(found: Evaluation, png: bytes) -> Section:
    t = found.monosemantic
    shown = pd.DataFrame(
        {
            "measure": t["measure"],
            "images by": t["images_by"],
            "units": t["units"],
            "median of pairs": t["median_pairs"],
            "median of neurons": t["median_neurons"],
            "pairs better": t["better"],
            "per neuron, quartiles (%)": [
                " / ".join(f"{100 * part:.0f}" for part in quartiles)
                for quartiles in t["per_neuron"]
            ],
            "number of pairs": t["pairs_counted"],
            "number of neurons": t["neurons_counted"],
        }
    )
    alt = "Cumulative distributions of three measures, and of each neuron's share of better pairs"
    return Section(
        f"Polysemanticity: {_verdict(t)}",
        "How alike are the ten images on which a unit's contribution is largest? Inertia is the "
        "paper's measure, clarity and the 2-means measure are those of arXiv 2505.20229. “Better” "
        "means more monosemantic: of lower inertia, higher clarity, a lower 2-means measure. The "
        "paper claims that pairs are more monosemantic than neurons. “Pairs better” is the share "
        "of pairs that are better than their own neuron, all pairs weighted equally; 50 % is what "
        "chance would give. Beside it, the quartiles of the same share over neurons.\n\n"
        "Images are chosen by the norm of the contribution, for pairs and neurons alike. The rows "
        "“centred norm” choose by the distance from the mean instead, for neurons only among the "
        "50 images of largest norm, since one pass keeps no others. Pairs of neurons that do not "
        f"vary are left out ({int((~found.alike.alive).sum())} neurons).",
        shown.reset_index(drop=True),
        ["pairs better"],
        [Figure(png, alt)],
    )


def _verdict(table: pd.DataFrame) -> str:
    """By the paper's measure, in words."""
    first = table[(table["measure"] == "inertia") & (table["images_by"] == "norm")].iloc[0]
    return f"{percent(first['better'])} of the pairs are of lower inertia than their neuron"


def labels(found: Evaluation) -> Section:
    t = found.labels
    shown = pd.DataFrame(
        {
            "label": t["label"],
            "images with it": t["images"],
            "r of share": t["r_share"],
            "r of score": t["r_score"],
            "r of similarity": t["r_similarity"],
            **({"r of grounded": t["r_grounded"]} if "r_grounded" in t else {}),
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

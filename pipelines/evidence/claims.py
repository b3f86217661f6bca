"""The paper's claims, each with its number, ours, and whether it held; from results as JSON.

Source of the claims and of their numbers: arXiv 2509.19943 (CLIP RN50x16; ImageNet, PASCAL
Context-59, Stanford Cars).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Found = Mapping[str, Any]
FEW = 0.2  # the share of units of the paper's ablation
LOST = 0.01  # accuracy that counts as lost
ALL = 0.001  # of the variance, or of the images, which rounding may take


class Claim(NamedTuple):
    """One claim and what became of it."""

    claim: str
    paper: str
    ours: str
    kind: str
    """`identity`, true of any model by construction, or `finding`."""
    held: str
    """`yes`, `no`, or `partly`, with the reason; `see` where the reader must judge."""
    figure: str
    """Name of a picture, or empty."""


def fidelity_claims(evaluation: Found) -> list[Claim]:
    """What `nhd evaluate` says of ranks, ablation and words.

    Where accuracy is at its ceiling, the explained variance of the embeddings decides.
    """
    rows = Rows(evaluation["rows"])
    original = rows.one("original", "pairs")["accuracy"]
    pair = rows.one("rank", "pairs", k=1)
    rank_one = Claim(
        "Every pair has rank 1: its first component is all of its contribution",
        "70.7 % of 70.7 %",
        f"{percent(pair['accuracy'])} of {percent(original)}; the same class for "
        f"{percent(pair['agree'])} of the images",
        "identity",
        yes(pair["agree"] > 1 - ALL),
        "",
    )
    return [rank_one, _ranks(rows, original), *_ablations(rows, original), *_words(rows)]


def _ranks(rows: "Rows", original: float) -> Claim:
    found = [row for row in rows.all("rank", "neurons") if row["k"] in (1, 2, 4)]
    accuracy, explained = ([row[name] for row in found] for name in ("accuracy", "explained"))
    if accuracy[0] < original:
        held = yes(sorted(accuracy) == accuracy)
    else:
        rises = sorted(explained) == explained and explained[0] < 1 - ALL
        held = "in variance only; accuracy is at its ceiling" if rises else "no"
    return Claim(
        "Neurons need more than one component (1, 2, 4)",
        "66.9, 69.0, 70.0 % of 70.7 %",
        f"{percents(accuracy)} of {percent(original)}; "
        f"{percents(explained)} of the embeddings' variance",
        "finding",
        held,
        "",
    )


def _ablations(rows: "Rows", original: float) -> Iterable[Claim]:
    """At the paper's share, and at the first smaller one at which something is lost.

    It held if the 95 % intervals of the two accuracies do not meet.
    """
    claim, paper = "Few pairs suffice, as few neurons do not", "20 %: 5 points lost, and 25"
    shares = {row["keep"] for row in rows.all("ablation", "pairs") if 0 < row["keep"] <= FEW}
    said = []
    held = "no"
    for keep in sorted(shares, reverse=True):
        pairs, neurons = (rows.one("ablation", u, keep=keep) for u in ("pairs", "neurons"))
        lost = [original - row["accuracy"] for row in (pairs, neurons)]
        if keep != FEW and max(lost) < LOST:
            continue
        random = [r["accuracy"] for r in rows.all("ablation", "pairs", control=True, keep=keep)]
        control = original - sum(random) / max(1, len(random))
        said.append(
            f"{100 * keep:g} %: {points(lost[0])} lost, and {points(lost[1])}, with random pairs "
            f"{points(control)} (variance left {percent(pairs['explained'])} and "
            f"{percent(neurons['explained'])})"
        )
        if max(lost) >= LOST:
            sure = pairs["low"] > neurons["high"]
            held = "yes" if sure else "not clearly" if lost[0] < lost[1] else "no"
            held += "" if keep == FEW else f", at {100 * keep:g} %"
            break
    yield Claim(claim, paper, "; ".join(said), "finding", held, "ablation.png")


def _words(rows: "Rows") -> Iterable[Claim]:
    both = [{row["atoms"]: row for row in rows.all("text", unit)} for unit in ("pairs", "neurons")]
    shared = sorted(both[0].keys() & both[1].keys())
    if not shared:
        return
    accuracy, explained = (
        [[of[m][name] for m in shared] for of in both] for name in ("accuracy", "explained")
    )
    ceiling = accuracy[0] == accuracy[1]
    pairs, neurons = explained if ceiling else accuracy
    above = [m for m, p, n in zip(shared, pairs, neurons, strict=True) if p > n]
    held = "yes" if above == shared else f"for {listed(above)} words only" if above else "no"
    yield Claim(
        "A few words describe a pair's direction, better than a neuron's",
        "curves only",
        f"with {listed(shared)} words {percents(accuracy[0])} by pairs and "
        f"{percents(accuracy[1])} by neurons; {percents(explained[0])} and "
        f"{percents(explained[1])} of the embeddings' variance",
        "finding",
        f"{held}, in variance; accuracy is at its ceiling" if ceiling else held,
        "text.png",
    )


def monosemantic_claims(evaluation: Found) -> list[Claim]:
    """What `nhd evaluate` says of pairs beside their own neurons."""
    rows = [
        row
        for row in evaluation["monosemantic"]
        if row["measure"] == "inertia" and row["images_by"] == "norm"
    ]
    said = "; ".join(
        f"{row['units']}: {percent(row['better'])} of the pairs lie below their neuron, median "
        f"{row['median_pairs']:.2f} and {row['median_neurons']:.2f}"
        for row in rows
    )
    better = [row["better"] > 0.5 for row in rows]
    held = "yes" if all(better) else "partly" if any(better) else "no"
    claim = "Pairs are more monosemantic than their neurons: lower inertia"
    return [Claim(claim, "distributions only", said, "finding", held, "polysemanticity.png")]


def label_claims(evaluation: Found) -> list[Claim]:
    """How well shares follow labels; none where no concept has a label of its name.

    Labels that all images have, or none, follow nothing and are left out.
    """
    rows = [row for row in evaluation["labels"] if row["r_share"] is not None]
    if not rows:
        return []
    means = {
        m: sum(row[f"r_{m}"] for row in rows) / len(rows) for m in ("share", "score", "similarity")
    }
    best = max(rows, key=lambda row: row["r_share"])
    worst = min(rows, key=lambda row: row["r_share"])
    return [
        Claim(
            "The share of a concept's five pairs follows the concept's label",
            "r = 0.85 (yellow), 0.71 (convertible)",
            f"mean r over {len(rows)} labels {means['share']:.2f}, from {worst['r_share']:.2f} "
            f"({worst['label']}) to {best['r_share']:.2f} ({best['label']}); similarity, which "
            f"needs no pairs: {means['similarity']:.2f}",
            "finding",
            "yes" if means["share"] > means["similarity"] else "partly: plain similarity does more",
            "",
        )
    ]


def clearest(cases: list[Found]) -> Found:
    """The case whose weakest head is best: alike images, which its words fit."""

    def weakest(case: Found) -> float:
        both = zip(case["image_coherence"], case["words_fit_images"], strict=True)
        return float(min(coherence * fit for coherence, fit in both))

    return max(cases, key=weakest)


def case_claims(cases: list[Found]) -> list[Claim]:
    """What `nhd explain --search` found; whether it convinces is for the reader."""
    if not cases:
        return []
    first = clearest(cases)
    heads = "; ".join(
        f"head {head}: {', '.join(words[:3])}"
        for head, words in zip(first["heads"], first["words"], strict=True)
    )
    return [
        Claim(
            "The heads of one neuron carry different sub-concepts",
            "pictures only",
            f"of the {len(cases)} neurons of highest score the one whose weakest head is cleanest, "
            f"neuron {first['neuron']} (score {first['score']:.3f}): {heads}",
            "finding",
            "see the picture",
            "sub_concepts.png",
        )
    ]


class Rows:
    """The rows of an evaluation, by what they measure."""

    def __init__(self, rows: list[Found]) -> None:
        self.rows = rows

    def all(self, experiment: str, unit: str, control: bool = False, **size: Any) -> list[Found]:
        """Those of an experiment and unit, in order."""
        wanted = {"experiment": experiment, "unit": unit, "control": control, **size}
        return [row for row in self.rows if all(row[k] == v for k, v in wanted.items())]

    def one(self, experiment: str, unit: str, **size: Any) -> Found:
        """The first of them."""
        return self.all(experiment, unit, **size)[0]


def yes(held: bool) -> str:
    return "yes" if held else "no"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def percents(values: Iterable[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values) + " %"


def points(value: float) -> str:
    return f"{100 * value:.1f} points"


def listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)

"""The paper's claims, each with its number, ours, and whether it held; from results as JSON.

Source of the claims and of their numbers: arXiv 2509.19943 (CLIP RN50x16; ImageNet, PASCAL
Context-59, Stanford Cars).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Found = Mapping[str, Any]
FEW = 0.2  # the share of units of the paper's ablation
WORDS = 64  # atoms of the paper's codes
ORDER = ("product", "heads", "neurons")
NAMES = {
    "product": "product",
    "heads": "heads only",
    "neurons": "neurons only",
    "maskclip": "MaskCLIP",
    "self_self": "self-self",
}


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
    """What `nhd evaluate` says of ranks, ablation and words."""
    rows = Rows(evaluation["rows"])
    original = rows.one("original", "pairs")["accuracy"]
    few = [rows.one("ablation", unit, keep=FEW)["accuracy"] for unit in ("pairs", "neurons")]
    random = [r["accuracy"] for r in rows.all("ablation", "pairs", control=True, keep=FEW)]
    pair = rows.one("rank", "pairs", k=1)
    return [
        Claim(
            "Every pair has rank 1: its first component is all of its contribution",
            "70.7 % of 70.7 %",
            f"{_percent(pair['accuracy'])} of {_percent(original)}; the same class for "
            f"{_percent(pair['agree'])} of the images",
            "identity",
            _yes(pair["agree"] == 1),
            "",
        ),
        _ranks(rows, original),
        Claim(
            "A fifth of the pairs suffices, a fifth of the neurons does not",
            "about 5 points lost, and about 25",
            f"{_points(original - few[0])} lost, and {_points(original - few[1])}; with random "
            f"pairs {_points(original - sum(random) / len(random))}",
            "finding",
            _yes(original - few[0] < original - few[1]),
            "ablation.png",
        ),
        *_words(rows, original),
    ]


def _ranks(rows: "Rows", original: float) -> Claim:
    found = rows.all("rank", "neurons")
    accuracy = [row["accuracy"] for row in found if row["k"] in (1, 2, 4)]
    explained = [row["explained"] for row in found if row["k"] in (1, 2, 4)]
    rises = sorted(accuracy) == accuracy
    held = "yes" if rises and accuracy[0] < original else "partly" if rises else "no"
    return Claim(
        "Neurons need more than one component (1, 2, 4)",
        "66.9, 69.0, 70.0 % of 70.7 %",
        f"{_percents(accuracy)} of {_percent(original)}; "
        f"{_percents(explained)} of the embeddings' variance",
        "finding",
        held,
        "",
    )


def _words(rows: "Rows", original: float) -> Iterable[Claim]:
    both = [
        {row["atoms"]: row["accuracy"] for row in rows.all("text", unit)}
        for unit in ("pairs", "neurons")
    ]
    shared = sorted(both[0].keys() & both[1].keys())
    if not shared:
        return
    m = max((m for m in shared if m <= WORDS), default=shared[0])
    above = [k for k in shared if both[0][k] >= both[1][k]]
    held = "yes" if above == shared else "no" if not above else f"for {_list(above)} words only"
    yield Claim(
        "A few words describe a pair's direction, better than a neuron's",
        "curves only",
        f"with {m} words {_percent(both[0][m])} by pairs and {_percent(both[1][m])} by neurons, "
        f"of {_percent(original)}",
        "finding",
        held,
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
        f"{row['units']}: {_percent(row['better'])} of the pairs lie below their neuron, median "
        f"{row['median_pairs']:.2f} and {row['median_neurons']:.2f}"
        for row in rows
    )
    better = [row["better"] > 0.5 for row in rows]
    held = "yes" if all(better) else "partly" if any(better) else "no"
    claim = "Pairs are more monosemantic than their neurons: lower inertia"
    return [Claim(claim, "distributions only", said, "finding", held, "polysemanticity.png")]


def label_claims(evaluation: Found) -> list[Claim]:
    """How well shares follow labels; none where no concept has a label of its name."""
    rows = evaluation["labels"]
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


def case_claims(cases: list[Found]) -> list[Claim]:
    """What `nhd explain --search` found; whether it convinces is for the reader."""
    if not cases:
        return []
    first = cases[0]
    heads = "; ".join(
        f"head {head}: {', '.join(words[:3])}"
        for head, words in zip(first["heads"], first["words"], strict=True)
    )
    return [
        Claim(
            "The heads of one neuron carry different sub-concepts",
            "pictures only",
            f"clearest case, neuron {first['neuron']} (score {first['score']:.2f}): {heads}",
            "finding",
            "see the picture",
            "sub_concepts.png",
        )
    ]


def segmentation_claims(segmentation: Found) -> list[Claim]:
    """What `nhd segment` says of the product and its baselines, each in its best setting."""
    rows = segmentation["results"]
    best = {m: max((r for r in rows if r["method"] == m), key=_miou, default=None) for m in NAMES}
    found = {m: row["miou"] for m, row in best.items() if row is not None}
    paper = {m: row["paper_miou"] for m, row in best.items() if row is not None}
    if not {*ORDER} <= found.keys():
        return []
    others = {m: v for m, v in found.items() if m != "product"}
    second = max(others, key=lambda m: others[m])
    leads = [lead for lead in segmentation["leads"] if lead["over"] == second]
    lead = leads[0] if leads and found["product"] > others[second] else None
    sure = "" if lead is None else f" ({_points(lead['low'])} to {_points(lead['high'])})"
    first = found["product"] > others[second]
    order = [found[m] for m in ORDER]
    return [
        Claim(
            "Products of neuron and head maps segment better than either, and than MaskCLIP",
            _listed(paper),
            f"{_listed(found)}; lead over {NAMES[second]} "
            f"{_points(found['product'] - others[second])}{sure}",
            "finding",
            _yes(first),
            "segmentation.png",
        ),
        Claim(
            "Among the parts, heads do more than neurons",
            f"{_percent(paper['heads'])}, {_percent(paper['neurons'])}",
            f"{_percent(found['heads'])}, {_percent(found['neurons'])}",
            "finding",
            _yes(order == sorted(order, reverse=True)),
            "",
        ),
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


def _miou(row: Found) -> float:
    return float(row["miou"])


def _listed(values: Mapping[str, float]) -> str:
    order = sorted(values, key=lambda m: -values[m])
    return ", ".join(f"{NAMES[m]} {100 * values[m]:.1f}" for m in order)


def _yes(held: bool) -> str:
    return "yes" if held else "no"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _percents(values: Iterable[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values) + " %"


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _list(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))

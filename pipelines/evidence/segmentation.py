"""The paper's claims on segmentation: the product of neuron and head maps against its parts.

Source: arXiv 2509.19943 (CLIP RN50x16, PASCAL Context-59).
"""

from collections.abc import Mapping

from pipelines.evidence.claims import Claim, Found, percent, points, yes

PARTS = ("heads", "neurons", "maskclip")
"""What the product must beat; self-self attention is shown beside them."""
NAMES = {
    "product": "product",
    "heads": "heads only",
    "neurons": "neurons only",
    "maskclip": "MaskCLIP",
    "self_self": "self-self",
}


def segmentation_claims(segmentation: Found) -> list[Claim]:
    """What `nhd segment` says of the product and its baselines, each in its best setting."""
    rows = segmentation["results"]
    best = {m: max((r for r in rows if r["method"] == m), key=_miou, default=None) for m in NAMES}
    found = {m: _miou(row) for m, row in best.items() if row is not None}
    paper = {m: float(row["paper_miou"]) for m, row in best.items() if row is not None}
    if not {"product", *PARTS} <= found.keys():
        return []
    view = view_of(segmentation)
    lead = {m: found["product"] - v for m, v in found.items() if m != "product"}
    least = min(lead[m] for m in PARTS)
    return [
        Claim(
            f"Products of neuron and head maps segment better than either, and than MaskCLIP: "
            f"{view}",
            _ranked(paper),
            f"{_ranked(found)}; "
            + ", ".join(
                f"{points(lead[m])} above {NAMES[m]}" + _sure(segmentation, m) for m in lead
            ),
            "finding",
            yes(least > 0) if least <= 0 else f"yes, by {points(least)} at least",
            "segmentation.png",
        ),
        Claim(
            f"Among the parts, heads do more than neurons: {view}",
            f"{percent(paper['heads'])}, {percent(paper['neurons'])}",
            f"{percent(found['heads'])}, {percent(found['neurons'])}",
            "finding",
            yes(found["heads"] > found["neurons"]),
            "",
        ),
    ]


def view_of(segmentation: Found) -> str:
    """How the scenes were looked at, in a few words."""
    view = segmentation["view"]
    said = [f"windows every {view['stride']:g}"]
    said += ["tapered"] if view["taper"] else []
    scales = view["scales"]
    said += [f"scales {' and '.join(f'{s:g}' for s in scales)}"] if len(scales) > 1 else []
    return ", ".join(said)


def _sure(segmentation: Found, method: str) -> str:
    """The interval of the lead over a method, where the product is the best of all."""
    for lead in segmentation["leads"]:
        if (lead["method"], lead["over"]) == ("product", method) and lead["low"] is not None:
            return f" ({100 * lead['low']:.1f} to {100 * lead['high']:.1f})"
    return ""


def _miou(row: Found) -> float:
    return float(row["miou"])


def _ranked(values: Mapping[str, float]) -> str:
    order = sorted(values, key=lambda m: -values[m])
    return ", ".join(f"{NAMES[m]} {100 * values[m]:.1f}" for m in order)

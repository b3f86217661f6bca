"""Permutations decide too: what passes by q counts only if shuffling the sides confirms it.

A q-value rests on a normal or Student's t distribution of means, which skewed values and unequal
numbers of images break in the far tail. Permutations rest on nothing but that images, or whole
clusters, are exchangeable where nothing changed (nhd_ops/README.md, section 6).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nhd_ops.permutation import PERMUTATIONS, family_wise_p, least_p, permutations_for
from nhd_ops.shift import Effect, false_discovery
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.domain import alone


class Confirmation(NamedTuple):
    """What permutations say of a family."""

    p: np.ndarray
    """[Q], family-wise."""
    counts: np.ndarray
    """[Q] bool: |effect|, q and permutations all pass."""
    decisive: bool
    """False where clusters are so few that no permutation can reach a small p; then q alone
    decides."""


@alone
def confirmation(family: Family, marginal: Effect, criteria: Criteria) -> Confirmation:
    """Permute the sides of `family`, as often as alpha asks if anything passes by q.

    Where nothing does, permutations decide nothing, and fewer give a p to show.
    """
    by_q = criteria.passes(marginal.effect, false_discovery(marginal.p))
    sides = family.baseline, family.current
    often = permutations_for(criteria.alpha) if by_q.any() else PERMUTATIONS
    p = family_wise_p(*sides, family.clusters, family.seed, often)
    sizes = len(sides[0]), len(sides[1])
    decisive = least_p(*sizes, family.clusters) <= criteria.alpha / 2
    confirmed = (p <= level(criteria.alpha)) | (not decisive)
    return Confirmation(p, by_q & confirmed, decisive)


def level(alpha: float) -> float:
    """The largest p that confirms: alpha, or the least there is if that is larger."""
    return max(alpha, 1 / (permutations_for(alpha) + 1))


def agreement(findings: Sequence[Mapping[str, Any]], criteria: Criteria) -> str:
    """In a few sentences: what permutations confirmed of findings, and where q alone decides."""
    tested = [f for f in findings if f["permutations_decide"]]
    left = sorted({f"{f['kind']}s" for f in findings if not f["permutations_decide"]})
    sentences = _confirmed(tested, criteria) if tested else []
    if left:
        sentences.append(
            f"On {' and '.join(left)} q alone decides: there are so few clusters that no "
            f"permutation of them can reach a p of {criteria.alpha / 2:.2g}."
        )
    return " ".join(sentences)


def _confirmed(findings: Sequence[Mapping[str, Any]], criteria: Criteria) -> list[str]:
    limit, alpha = level(criteria.alpha), criteria.alpha
    large = [f for f in findings if abs(f["effect"]) >= criteria.floor]
    refused = _names(f for f in large if f["q"] < alpha and not f["passes"])
    only = _names(f for f in large if f["q"] >= alpha and f["permutation_p"] <= limit)
    often = f"{permutations_for(alpha):,} permutations of the sides"
    sentences = [
        f"{often} confirm all that passes by q (family-wise p of at most {limit:.2g})."
        if not refused
        else f"{often} do not confirm {refused} (family-wise p above {limit:.2g}): not counted, "
        f"though q is below {alpha:.2g}, as both tests must agree. Permutations hold whatever the "
        "distribution of the values; q takes their means to be normal."
    ]
    if only:
        sentences.append(
            f"Permutations alone would count {only}: not counted either, as q asks for more where "
            "many tests may depend on each other."
        )
    return sentences


def _names(findings: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(sorted({str(f["name"]) for f in findings}))

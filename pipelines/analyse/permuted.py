"""The permutation control of a family: a p for each finding, and where it disagrees with q."""

from nhd_ops.permutation import PERMUTATIONS, family_wise_p
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.domain import alone
from pipelines.analyse.findings import Finding


@alone
def add_permutation_p(findings: list[Finding], family: Family, seed: int) -> None:
    """Set `permutation_p` of findings that are in the family's order."""
    p = family_wise_p(family.baseline, family.current, family.clusters, seed)
    for finding, value in zip(findings, p, strict=True):
        finding["permutation_p"] = float(value)


def disagreement(findings: list[Finding], criteria: Criteria) -> str:
    """One sentence: do permutations and q-values say the same of what is large enough?"""
    least = 1 / (PERMUTATIONS + 1)
    level = max(criteria.alpha, 2 * least)
    large = [f for f in findings if abs(f["effect"]) >= criteria.floor]
    by_q = {str(f["name"]) for f in large if f["q"] < criteria.alpha}
    by_p = {str(f["name"]) for f in large if f["permutation_p"] < level}
    tests = f"{PERMUTATIONS:,} permutations of the sides (family-wise, below {level:g})"
    if by_q == by_p:
        return f"{tests} and q-values agree on every concept and label of at least the floor."
    parts = [
        f"{which} alone count{'s' if which == 'q' else ''} {', '.join(sorted(names))}"
        for which, names in (("q", by_q - by_p), ("permutations", by_p - by_q))
        if names
    ]
    return f"{tests} and q-values disagree: {'; '.join(parts)}."

"""False alarms of the domain classifier, which is fitted anew for every audit and so is slow."""

import numpy as np

from pipelines.analyse.attribution import Criteria
from pipelines.analyse.domain import cross_fitted_auc
from pipelines.analyse.findings import overall_finding
from pipelines.power.draws import Sampling
from pipelines.power.null import Rate


def null_auc(
    embeddings: np.ndarray,
    baseline: Sampling,
    current: Sampling,
    criteria: list[Criteria],
    simulations: int,
    rng: np.random.Generator,
) -> list[Rate]:
    """How often the classifier tells apart two samples [n,D] and [m,D] of the same embeddings."""
    alarms = np.zeros(len(criteria), np.int64)
    for _ in range(simulations):
        sides = [
            embeddings[np.repeat(s.rows(rng, 1, len(embeddings), None)[0], s.copies)]
            for s in (baseline, current)
        ]
        auc = cross_fitted_auc(sides[0], sides[1])
        alarms += [bool(overall_finding(auc, each)["shifted"]) for each in criteria]
    sizes = (current.images, baseline.images)
    return [
        Rate("one audit", "auc", *sizes, c.alpha, c.floor, simulations, int(found), c.alpha)
        for c, found in zip(criteria, alarms, strict=True)
    ]

"""Which of many changes stand on their own, and which only follow from others.

If yellow things become more frequent, every other colour becomes less so, and whatever resembles
yellow scores higher: true changes, but not further news. So changes are taken one at a time, the
largest first; both sides are then weighted until everything taken so far is distributed alike on
both (`domain.overlap_weights`), and what still differs is the next. At the end each one taken must
still differ with all the others balanced.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nhd_ops.bootstrap import cluster_interval
from nhd_ops.shift import Effect, Summary, false_discovery, summary
from pipelines.analyse.domain import overlap_weights

MOST = 12
"""How many changes are told apart; a world in which more changed is simply another world."""
FEWEST_EFFECTIVE = 30
"""Below this effective number of images on a side, weighting says nothing any more."""
TOUCHED = 0.1
"""If balancing the others removes this part of an effect, what is left must be beyond doubt."""
EXPLAINS = 0.25
"""A change is a cause of another if balancing it removes at least this part of the effect."""


@dataclass(frozen=True)
class Criteria:
    """When a difference counts: large enough and sure enough."""

    alpha: float
    floor: float

    def passes(self, effect: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Both |effect| ≥ floor and q < alpha."""
        counts: np.ndarray = (np.abs(effect) >= self.floor) & (q < self.alpha)
        return counts


@dataclass(frozen=True, eq=False)
class Family:
    """Quantities that are tested together, measured on the same images of both sides."""

    names: tuple[str, ...]
    baseline: np.ndarray
    """[n,Q], what is tested."""
    current: np.ndarray
    """[m,Q]"""
    baseline_features: np.ndarray
    """[n,Q,F], by which each is balanced; as many rows as are balanced will do."""
    current_features: np.ndarray
    """[m,Q,F]"""
    test: Callable[[Summary, Summary], Effect]
    clusters: tuple[np.ndarray, np.ndarray] | None = None
    """[n] and [m], the cluster of each image, where they are not independent."""
    seed: int = 0
    """Of the resamples of clusters, and of permutations."""

    def effect(self) -> Effect:
        """All effects as they are; with clusters the intervals are a bootstrap's."""
        sides = (self.baseline, self.current)
        codes = self.clusters or (None, None)
        found = self.test(*(summary(s, None, c) for s, c in zip(sides, codes, strict=True)))
        if self.clusters is None:
            return found
        pairs = tuple(zip(sides, self.clusters, strict=True))
        low, high = cluster_interval(self.test, pairs[0], pairs[1], self.seed)
        return found._replace(low=low, high=high)

    def head(self, limit: int) -> "Family":
        """The same family on the first `limit` rows of each side."""
        return Family(
            self.names,
            self.baseline[:limit],
            self.current[:limit],
            self.baseline_features[:limit],
            self.current_features[:limit],
            self.test,
            None if self.clusters is None else (self.clusters[0][:limit], self.clusters[1][:limit]),
            self.seed,
        )


@dataclass(frozen=True, eq=False)
class Attribution:
    """The changes that stand on their own, and the rest explained."""

    shifted: np.ndarray
    """[Q] bool."""
    adjusted: Effect
    """[Q] each: with all *other* shifted ones balanced."""
    adjusted_q: np.ndarray
    """[Q]"""
    explained_by: dict[int, list[int]]
    """For those that passed at first but not adjusted: the shifted ones that account for them."""
    effective: tuple[float, float]
    """Effective numbers of images with everything shifted balanced."""
    hidden: np.ndarray
    """[Q] bool: did not change as they are, but did with what is shifted balanced: a class that
    grew while another grew more keeps its share."""


@dataclass(eq=False)
class _Adjuster:
    """Effects of one family with some of its members balanced; remembers what it has computed."""

    family: Family
    known: dict[frozenset[int], tuple[Effect, tuple[float, float]]] = field(default_factory=dict)

    def __call__(self, balanced: frozenset[int]) -> tuple[Effect, tuple[float, float]]:
        if balanced not in self.known:
            self.known[balanced] = self._compute(sorted(balanced))
        return self.known[balanced]

    def _compute(self, balanced: list[int]) -> tuple[Effect, tuple[float, float]]:
        family = self.family
        sides = (family.baseline, family.current)
        features = (family.baseline_features, family.current_features)
        weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
        if balanced:
            flat = [f[:, balanced].reshape(len(f), -1) for f in features]
            weights = overlap_weights(flat[0], flat[1])
        codes = family.clusters or (None, None)
        one, other = (summary(s, w, c) for s, w, c in zip(sides, weights, codes, strict=True))
        kept = (_kish(w, s) for w, s in zip(weights, sides, strict=True))
        return family.test(one, other), (next(kept), next(kept))


def _kish(weights: np.ndarray | None, values: np.ndarray) -> float:
    """The effective number of weighted images, (Σw)²/Σw²; clusters are counted elsewhere."""
    if weights is None:
        return float(len(values))
    return float(np.square(weights.sum()) / np.square(weights).sum())


def attribute(
    family: Family, marginal: Effect, criteria: Criteria, confirmed: np.ndarray | bool = True
) -> Attribution:
    """Tell the changes of `family` that stand on their own from those that follow.

    Args:
        marginal: the effects on all images, of which `family` may hold a sample.
        confirmed: [Q] bool, what else than effect and q lets count (`permuted.confirmation`).
    """
    adjust = _Adjuster(family)
    hurdle = _Hurdle(marginal, criteria, confirmed)
    chosen = _backward(adjust, hurdle, _forward(adjust, hurdle))
    adjusted = _without_self(adjust, chosen, len(family.names))
    shifted = hurdle.clears(adjusted)
    explained = {
        int(j): _causes(adjust, int(j), chosen, float(marginal.effect[j]))
        for j in np.flatnonzero(hurdle.open & ~shifted)
    }
    effective = adjust(frozenset(chosen))[1]
    q = false_discovery(adjusted.p)
    hidden = hurdle.hidden(adjusted) if shifted.any() else np.zeros(len(shifted), bool)
    return Attribution(shifted, adjusted, q, explained, effective, hidden)


class _Hurdle:
    """What a change must clear, as it is and with others balanced."""

    def __init__(self, marginal: Effect, criteria: Criteria, confirmed: np.ndarray | bool) -> None:
        self.marginal, self.criteria = marginal.effect, criteria
        self.by_q = criteria.passes(marginal.effect, false_discovery(marginal.p))
        self.open = self.by_q & confirmed

    def clears(self, adjusted: Effect) -> np.ndarray:
        """[Q] bool: passed as it is, and passes now in the same direction.

        Balancing is as good as the measures are, so a trace of every consequence remains. Where
        the causes explain part of a change, the rest must clear the floor with its whole interval.
        """
        same = np.sign(adjusted.effect) == np.sign(self.marginal)
        passes = self.criteria.passes(adjusted.effect, false_discovery(adjusted.p))
        left = np.abs(adjusted.effect) / np.maximum(np.abs(self.marginal), 1e-12)
        surely = np.minimum(np.abs(adjusted.low), np.abs(adjusted.high)) >= self.criteria.floor
        kept: np.ndarray = self.open & same & passes & ((left > 1 - TOUCHED) | surely)
        return kept

    def hidden(self, adjusted: Effect) -> np.ndarray:
        """[Q] bool: did not pass as it is, and passes now."""
        passes = self.criteria.passes(adjusted.effect, false_discovery(adjusted.p))
        found: np.ndarray = ~self.by_q & passes
        return found


def _forward(adjust: _Adjuster, hurdle: _Hurdle) -> list[int]:
    """Take the largest remaining change until none is left."""
    chosen: list[int] = []
    while len(chosen) < MOST:
        effect, effective = adjust(frozenset(chosen))
        if min(effective) < FEWEST_EFFECTIVE:
            return chosen[:-1]
        left = hurdle.clears(effect)
        left[chosen] = False
        if not left.any():
            break
        chosen.append(int(np.argmax(np.where(left, np.abs(effect.effect), -1))))
    return chosen


def _backward(adjust: _Adjuster, hurdle: _Hurdle, chosen: list[int]) -> list[int]:
    """Drop, the smallest effect first, what no longer stands with the others balanced.

    The smallest as it is: of changes that explain each other, causes are larger than consequences.
    """
    while len(chosen) > 1:
        fallen = [
            one for one in chosen if not hurdle.clears(adjust(frozenset(chosen) - {one})[0])[one]
        ]
        if not fallen:
            break
        smallest = min(fallen, key=lambda one: abs(hurdle.marginal[one]))
        chosen = [one for one in chosen if one != smallest]
    return chosen


def _without_self(adjust: _Adjuster, chosen: list[int], size: int) -> Effect:
    """Everything with all of `chosen` balanced, and each of these with only the others."""
    columns = [np.array(part, dtype=np.float64) for part in adjust(frozenset(chosen))[0]]
    for one in chosen:
        for column, part in zip(columns, adjust(frozenset(chosen) - {one})[0], strict=True):
            column[one] = part[one]
    return Effect(*columns)


def _causes(adjust: _Adjuster, member: int, chosen: list[int], marginal: float) -> list[int]:
    """The chosen ones that each account for a good part of one member's effect, else all."""
    alone = {one: float(adjust(frozenset({one}))[0].effect[member]) for one in chosen}
    parts = {one: 1 - np.sign(marginal) * left / abs(marginal) for one, left in alone.items()}
    causes = [one for one in chosen if parts[one] >= EXPLAINS]
    return sorted(causes or chosen, key=lambda one: -parts[one])

"""Power: planted shifts of known size, and how often the audit finds them."""

from dataclasses import dataclass

import numpy as np

from nhd_ops.shift import Effect, detection_power
from nhd_ops.tilt import moved, tilted
from pipelines.analyse.attribution import Criteria, Family
from pipelines.analyse.findings import family_findings
from pipelines.errors import UsageError
from pipelines.power.draws import Sampling, freedom, passes, reduced
from pipelines.power.permuted import counted, family_of
from pipelines.power.population import Kind


@dataclass(frozen=True)
class Planted:
    """What became of shifts of one size."""

    effect: float
    images: int
    baseline_images: int
    simulated: int
    found: int
    """Passed, in the right direction."""
    expected: float
    """The power by `nhd_ops.shift.detection_power`, for a change that comes alone."""
    dragged: float
    """How many other members the planted shift truly moves by the floor or more, on average."""
    permuted: int
    """Those of `found` whose sides were also permuted, as the comparison does with all."""
    confirmed: int
    """Those that permutations let count."""
    attributed: int
    """Simulated audits that found the shift and went through the search for causes."""
    named: int
    """Those that named the planted shift as a cause."""
    misnamed: int
    """Those that named any other."""
    unplanted: int
    """Members, times directions, that no weighting of the rows moves so far."""
    promised: float | None = None
    """How often a shift of this size is promised to be found, if it is."""


def planted(
    kind: Kind,
    effect: float,
    baseline: Sampling,
    current: Sampling,
    criteria: Criteria,
    simulations: int,
    attributed: int,
    permuted: int,
    rng: np.random.Generator,
) -> Planted:
    """Plant `effect` in every member in turn, up and down, `simulations` times in all.

    Permutations are slow where something passes by q, so a few audits tell for all.
    """
    worlds = _worlds(kind, effect)
    if not worlds:
        raise UsageError(f"no weighting of these rows moves any concept by {effect:g}")
    turns = np.bincount(np.arange(simulations) % len(worlds), minlength=len(worlds))
    spread = (_spread(rng, number, len(worlds)) for number in (attributed, permuted))
    found = searched = named = misnamed = tried = confirmed = 0
    for (member, sign, weights), some, few, asked in zip(worlds, turns, *spread, strict=True):
        one = baseline.rows(rng, some, len(kind.values), None)
        other = current.rows(rng, some, len(kind.values), weights)
        sides = [reduced(kind.values, rows, s) for rows, s in ((one, baseline), (other, current))]
        seen = kind.test(sides[0], sides[1])
        by_q = passes(seen, criteria)
        passed = by_q[:, member] & (np.sign(seen.effect[:, member]) == sign)
        found += int(passed.sum())
        for place in np.flatnonzero(passed)[:few]:
            family = family_of(kind, one[place], other[place], (baseline, current))
            causes = _causes(family, criteria)
            searched += 1
            named += member in causes
            misnamed += bool(causes - {member})
        few_rows = np.flatnonzero(passed)[:asked]
        part = Effect(*(column[few_rows] for column in seen))
        rows = one[few_rows], other[few_rows]
        counts = counted(kind, by_q[few_rows], part, rows, (baseline, current), criteria)
        tried += len(few_rows)
        confirmed += int(counts[:, member].sum())
    dragged = [_dragged(kind, member, weights, criteria) for member, _, weights in worlds]
    return Planted(
        effect=effect,
        images=current.images,
        baseline_images=baseline.images,
        simulated=simulations,
        found=found,
        expected=detection_power(
            effect,
            baseline.effective,
            current.effective,
            len(kind.members),
            criteria.alpha,
            criteria.floor,
            freedom(baseline, current),
        ),
        dragged=float(np.mean(dragged)),
        permuted=tried,
        confirmed=confirmed,
        attributed=searched,
        named=named,
        misnamed=misnamed,
        unplanted=2 * len(kind.members) - len(worlds),
    )


def _worlds(kind: Kind, effect: float) -> list[tuple[int, int, np.ndarray]]:
    """Member, direction and weights of every shift of this size that can be planted."""
    found = []
    for member in range(len(kind.members)):
        for sign in (1, -1):
            try:
                weights = tilted(kind.values[:, member], sign * abs(effect))
            except ValueError:
                continue
            found.append((member, sign, weights))
    return found


def _dragged(kind: Kind, member: int, weights: np.ndarray, criteria: Criteria) -> int:
    """How many others the planted shift of one truly moves by the floor or more."""
    large = np.abs(moved(kind.values, weights)) >= max(criteria.floor, 1e-9)
    return int(large.sum() - large[member])


def _spread(rng: np.random.Generator, number: int, over: int) -> np.ndarray:
    """[over] how many of `number` fall to each, in a random order."""
    return np.bincount(rng.permutation(over)[np.arange(number) % over], minlength=over)


def _causes(family: Family, criteria: Criteria) -> set[int]:
    """Members that the comparison of these very rows names as changed."""
    findings, _ = family_findings("concept", family, criteria)
    return {i for i, finding in enumerate(findings) if finding["shifted"]}

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

World = tuple[int, int, np.ndarray]
"""A member, the direction in which it is moved, and the weights of rows that do so."""


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
    counts = [
        _tried(kind, world, baseline, current, criteria, (some, few, asked), rng)
        for world, some, few, asked in zip(worlds, turns, *spread, strict=True)
    ]
    return Planted(
        effect=effect,
        images=current.images,
        baseline_images=baseline.images,
        simulated=simulations,
        expected=detection_power(
            effect,
            baseline.effective,
            current.effective,
            len(kind.members),
            criteria.alpha,
            criteria.floor,
            freedom(baseline, current),
        ),
        dragged=float(np.mean([_dragged(kind, m, weights, criteria) for m, _, weights in worlds])),
        unplanted=2 * len(kind.members) - len(worlds),
        **{name: sum(count[name] for count in counts) for name in counts[0]},
    )


def _tried(
    kind: Kind,
    world: World,
    baseline: Sampling,
    current: Sampling,
    criteria: Criteria,
    numbers: tuple[int, int, int],
    rng: np.random.Generator,
) -> dict[str, int]:
    """One shift in so many audits; causes are searched, and sides permuted, in some that pass."""
    (member, sign, weights), (some, few, asked) = world, numbers
    both = baseline, current
    one = baseline.rows(rng, some, len(kind.values), None)
    other = current.rows(rng, some, len(kind.values), weights)
    sides = [reduced(kind.values, rows, s) for rows, s in zip((one, other), both, strict=True)]
    seen = kind.test(sides[0], sides[1])
    by_q = passes(seen, criteria)
    passed = np.flatnonzero(by_q[:, member] & (np.sign(seen.effect[:, member]) == sign))
    families = (family_of(kind, one[place], other[place], both) for place in passed[:few])
    causes = [_causes(family, criteria) for family in families]
    rows = passed[:asked]
    part = Effect(*(column[rows] for column in seen))
    count = counted(kind, by_q[rows], part, (one[rows], other[rows]), both, criteria)
    return {
        "found": len(passed),
        "permuted": len(rows),
        "confirmed": int(count[:, member].sum()),
        "attributed": len(causes),
        "named": sum(member in found for found in causes),
        "misnamed": sum(bool(found - {member}) for found in causes),
    }


def _worlds(kind: Kind, effect: float) -> list[World]:
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

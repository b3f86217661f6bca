"""How often a change that follows from another is taken for one of its own, with the truth known.

    python -m pipelines.bench.consequences --trials 100

One class of several grows or shrinks and the others give way in exact proportion, so only that one
is a cause. Classes are seen as labels, or as scores: labels plus noise of a given correlation r
with them. `two objects` images carry one or two classes each, drawn independently.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nhd_ops.shift import false_discovery, mean_shift, proportion_shift
from pipelines.analyse.attribution import Criteria, Family, attribute

CHANGES: dict[str, dict[int, float]] = {
    "none": {},
    "one x1.5": {0: 1.5},
    "one x2": {0: 2.0},
    "one x3": {0: 3.0},
    "two x2": {0: 2.0, 1: 2.0},
    "one x0.5": {0: 0.5},
    "one x3, one x0.3": {0: 3.0, 1: 0.3},
    "one x3, one x1.5": {0: 3.0, 1: 1.5},
}
CRITERIA = Criteria(alpha=0.01, floor=0.1)


@dataclass(frozen=True)
class Setting:
    """One world, and what changes in it."""

    classes: int
    r: float | None
    """Correlation of a class's score with its label; None for the labels themselves."""
    images: int
    """On each side."""
    change: str
    objects: int = 1
    """At most so many objects an image, each of one class."""


@dataclass(frozen=True)
class Rates:
    """Means over the trials of one setting."""

    consequences_passing: float
    """Classes that changed beyond floor and alpha, but only in proportion, per trial."""
    consequences_named: float
    """Those of them named as causes, per trial."""
    wrong_trials: float
    """Share of the trials that named any."""
    causes_named: float
    """Share of the causes that were named."""
    causes_too_small: float
    """Share of the causes whose own change passed neither floor nor alpha to begin with."""


def settings() -> Iterator[Setting]:
    """All settings of the table."""
    for r in (None, 0.95, 0.9, 0.8):
        for images in (1000, 5000):
            for change in CHANGES:
                yield Setting(10, r, images, change)
                yield Setting(6, r, images, change)
                if r in (None, 0.9):
                    yield Setting(6, r, images, change, objects=2)


def family(setting: Setting, seed: int) -> Family:
    """Both sides of one trial."""
    rng = np.random.default_rng([seed, setting.images, setting.classes])
    tilt = CHANGES[setting.change]
    one, other = (_labels(rng, setting, tilting) for tilting in ({}, tilt))
    names = tuple(str(i) for i in range(setting.classes))
    if setting.r is None:
        return Family(names, one, other, one[..., None], other[..., None], proportion_shift)
    noise = one.std() * np.sqrt(1 / setting.r**2 - 1)
    one, other = (side + noise * rng.normal(size=side.shape) for side in (one, other))
    return Family(names, one, other, one[..., None], other[..., None], mean_shift)


def _labels(rng: np.random.Generator, setting: Setting, tilt: dict[int, float]) -> np.ndarray:
    weights = np.array([tilt.get(i, 1.0) for i in range(setting.classes)])
    found = np.zeros((setting.images, setting.classes))
    objects = rng.integers(1, setting.objects + 1, setting.images)
    for turn in range(setting.objects):
        drawn = rng.choice(setting.classes, setting.images, p=weights / weights.sum())
        rows = np.flatnonzero(objects > turn)
        found[rows, drawn[rows]] = 1
    return found


def rates(setting: Setting, trials: int) -> Rates:
    """Repeat one setting with seeds 0, 1, .."""
    causes = set(CHANGES[setting.change])
    counts = np.zeros(5)
    for seed in range(trials):
        world = family(setting, seed)
        effect = world.effect()
        told = attribute(world, effect, CRITERIA)
        passing = np.flatnonzero(CRITERIA.passes(effect.effect, false_discovery(effect.p)))
        named, moved = set(np.flatnonzero(told.shifted).tolist()), set(passing.tolist())
        wrong = len(named - causes)
        found = len(named & causes), len(causes - moved)
        counts += len(moved - causes), wrong, wrong > 0, *(x / max(1, len(causes)) for x in found)
    return Rates(*(float(x) for x in counts / trials))


def rows(trials: int) -> Iterator[dict[str, object]]:
    """One row per setting."""
    for setting in settings():
        yield vars(setting) | vars(rates(setting, trials))


def main() -> None:
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    for number, row in enumerate(rows(parser.parse_args().trials)):
        if number == 0:
            print("| " + " | ".join(name.replace("_", " ") for name in row) + " |")
            print("|" + "---|" * len(row))
        print("| " + " | ".join(_cell(value) for value in row.values()) + " |", flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "labels" if value is None else str(value)


if __name__ == "__main__":
    main()

"""What the fit and the moments say of the units of an atlas, read once for all pages."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from nhd_ops import histogram
from nhd_ops.neighbours import neighbours
from nhd_ops.pair_moments import PairMoments
from pipelines.analyse.followed import closest, comoments, correlation
from pipelines.analyse.same_model import same_numbers
from pipelines.atlas.model import Histogram
from pipelines.atlas.neuron_facts import NeuronFacts, neuron_facts
from pipelines.atlas.units import Units, pairs_of
from pipelines.explain.fitted import Fitted
from pipelines.explain.pair import codes_of
from pipelines.io.store import Run
from pipelines.io.urls import without_secrets

NEIGHBOURS = 8
EDGES = (-histogram.OUTER, *histogram.EDGES, histogram.OUTER)

Code = tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Side:
    """One run's distributions."""

    name: str
    moments: PairMoments


@dataclass(frozen=True, eq=False)
class Facts:
    """Beside what `Fitted` has."""

    sides: tuple[Side, ...]
    """The run, then the one beside it."""
    codes: dict[int, Code]
    """Of the pairs with a page; empty where the fit made none."""
    follows: tuple[np.ndarray, np.ndarray]
    """r [H·C] with the concept that each pair follows most closely, and which."""
    near: dict[int, tuple[list[int], list[float]]]
    """Of the pairs with a page: the pairs of most similar direction, and the cosines."""
    neurons: pd.DataFrame
    """inertia, clarity and polysemanticity by neuron; no row where the fit measured none."""
    of_neurons: NeuronFacts


def facts_of(fitted: Fitted, units: Units, beside: str | None) -> Facts:
    """Raises UsageError where `beside` is no run of the same model."""
    return Facts(
        sides_of(fitted, beside),
        codes_of(fitted, units.pairs) or {},
        _follows(fitted),
        _near(fitted, units),
        _measured(fitted.run),
        neuron_facts(fitted, units.neurons),
    )


def sides_of(fitted: Fitted, beside: str | None) -> tuple[Side, ...]:
    """The run and the one beside it, by names that tell them apart."""
    if beside is None:
        return (Side(short_names(fitted.run.url)[0], fitted.moments.pairs),)
    other = Run(beside)
    same_numbers(fitted.info, other.info)
    names = short_names(fitted.run.url, beside)
    moments = other.moments(units=False).pairs
    return Side(names[0], fitted.moments.pairs), Side(names[1], moments)


def short_names(*urls: str) -> tuple[str, ...]:
    """The shortest ends of the paths that differ."""
    parts = [without_secrets(url).rstrip("/").split("/") for url in urls]
    for length in range(1, max(map(len, parts)) + 1):
        names = tuple("/".join(part[-length:]) for part in parts)
        if len(set(names)) == len(names):
            break
    return names


def histograms(facts: Facts, pair: int, norm: float) -> tuple[Histogram, ...]:
    """Of one pair, whose direction has this norm: exact counts of s·‖u‖ in each run."""
    found = []
    for side in facts.sides:
        head, neuron = divmod(pair, side.moments.mean.shape[1])
        counts = side.moments.histogram[head, neuron].tolist()
        mean = float(side.moments.mean[head, neuron]) * norm
        std = float(side.moments.m2[head, neuron] / side.moments.count) ** 0.5 * norm
        found.append(Histogram(side.name, tuple(counts), EDGES, mean, std))
    return tuple(found)


def _follows(fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    concepts = range(len(fitted.info["concepts"]))
    each = (correlation(*comoments(fitted.moments, concept)) for concept in concepts)
    return closest(each, len(fitted.pairs))


def _near(fitted: Fitted, units: Units) -> dict[int, tuple[list[int], list[float]]]:
    exact = fitted.directions.to(dtype=torch.float64)  # whatever the number of threads
    found = neighbours(exact, fitted.signs, pairs_of(units), NEIGHBOURS)
    both = zip(found.pairs.tolist(), found.cosines.tolist(), strict=True)
    return dict(zip(units.pairs, both, strict=True))


def _measured(run: Run) -> pd.DataFrame:
    if not run.exists("fit", "polysemanticity.parquet"):
        return pd.DataFrame()
    table = run.table("fit/polysemanticity.parquet").to_pandas()
    return table[table["unit"] == "neuron"].set_index("neuron")

"""The population of the simulations: the rows of a run, as if they were all images there are.

Rows keep their measures together, so concepts depend on each other as they really do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nhd_ops.shift import Effect, Summary, mean_shift, proportion_shift
from nhd_ops.skewed import careful_shift
from pipelines.analyse.measure import balanced_by
from pipelines.errors import UsageError
from pipelines.io.rows import measures
from pipelines.io.store import Run
from pipelines.power.plan import PowerPlan

MOST_ROWS = 20_000
"""Rows that are drawn from; more are thinned evenly."""


@dataclass(frozen=True, eq=False)
class Kind:
    """Quantities that an audit tests together."""

    name: str
    members: tuple[str, ...]
    values: np.ndarray
    """[N,Q]"""
    test: Callable[[Summary, Summary], Effect]
    features: np.ndarray
    """[N,Q,F], by which the search for causes balances each."""
    permuted: bool = False
    """Must permutations confirm what passes by q?"""


@dataclass(frozen=True, eq=False)
class Population:
    """The rows, by kind of test."""

    images: int
    """Rows of the run; the kinds may hold fewer, see MOST_ROWS."""
    measure: str
    kinds: tuple[Kind, ...]

    def __getitem__(self, name: str) -> Kind:
        return next(kind for kind in self.kinds if kind.name == name)


def population(plan: PowerPlan) -> Population:
    """Rows of the run that the plan names; concepts always, other kinds as it asks."""
    run = Run(plan.run)
    info = run.info
    slugs = [concept["slug"] for concept in info["concepts"]]
    if not slugs:
        raise UsageError(f"{plan.run} scored no concept; extract it with --concepts")
    names = run.images(["shard", "key"]).num_rows, _columns(run)
    rows = _thinned(names[0])
    measure = _measure(plan, slugs, names[1])
    known = measures(info.get("lens") is not None)
    table = run.images([f"{m}_{s}" for m in known for s in slugs] + info["labels"])
    frame = table.to_pandas().iloc[rows]
    weighed = balanced_by(measure, known)
    features = np.stack([_values(frame, m, slugs) for m in weighed], axis=-1)
    concepts = _values(frame, measure, slugs)
    kinds = [Kind("concepts", tuple(slugs), concepts, mean_shift, features, True)]
    if "labels" in plan.of and (labels := _complete(frame, info["labels"])):
        shares = frame[labels].to_numpy(np.float64)
        features = shares[..., None]
        kinds.append(Kind("labels", tuple(labels), shares, proportion_shift, features, True))
    if "pairs" in plan.of:
        kinds.append(_pairs(run, names[1], rows))
    return Population(names[0], measure, tuple(kinds))


def embeddings(plan: PowerPlan) -> np.ndarray:
    """[N,D], of unit length."""
    run = Run(plan.run)
    vectors = np.stack(run.images(["embedding"])["embedding"].to_numpy()).astype(np.float64)
    vectors = vectors[_thinned(len(vectors))]
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _thinned(rows: int) -> np.ndarray:
    return np.linspace(0, rows - 1, min(rows, MOST_ROWS)).astype(np.int64)


def _columns(run: Run) -> set[str]:
    first = run.records()[0]["shard"]
    return set(run.table(f"images/{first}.parquet").column_names)


def _measure(plan: PowerPlan, slugs: list[str], columns: set[str]) -> str:
    grounded = f"grounded_{slugs[0]}" in columns
    measure = ("grounded" if grounded else "similarity") if plan.measure == "auto" else plan.measure
    if f"{measure}_{slugs[0]}" not in columns:
        raise UsageError(f"{plan.run} has no {measure} scores; extract it with --lens")
    return measure


def _values(frame: pd.DataFrame, measure: str, slugs: list[str]) -> np.ndarray:
    return frame[[f"{measure}_{slug}" for slug in slugs]].to_numpy(np.float64)


def _complete(frame: pd.DataFrame, labels: list[str]) -> list[str]:
    """Labels that every image has."""
    return [label for label in labels if frame[label].notna().all()]


def _pairs(run: Run, columns: set[str], rows: np.ndarray) -> Kind:
    heads = sorted(name for name in columns if name.startswith("head_"))
    if not heads:
        raise UsageError(f"{run.url} kept no dense coefficients; extract it with --keep dense")
    table = run.images(heads)
    parts = [np.stack(table[head].to_numpy())[rows] for head in heads]
    values = np.concatenate(parts, axis=1).astype(np.float64)
    members = tuple(map(str, range(values.shape[1])))
    return Kind("pairs", members, values, careful_shift, values[:, :, None])

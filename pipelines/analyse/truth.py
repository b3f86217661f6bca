"""How well the measures and the pairs follow the labels: point-biserial r, side by side."""

from typing import Any

import numpy as np
import pandas as pd

from nhd_ops.labels import point_biserial
from pipelines.analyse.pair_shifts import fitted
from pipelines.analyse.sides import Concept, Side, Sides


def truth_table(sides: Sides) -> pd.DataFrame:
    """One row per side and label.

    r of every measure of the concept that has the label's name; the concept and
    measure that follow the label best, whatever its name; and the pair that does, from exact
    moments (not for buckets, whose label moments are not kept). NaN where nothing varies.
    """
    rows = [row for side in (sides.baseline, sides.current) for row in _of_side(sides, side)]
    return pd.DataFrame(rows)


def _of_side(sides: Sides, side: Side) -> list[dict[str, Any]]:
    labels = side.rows[sides.labels].to_numpy(np.float64)  # [n,L]
    r = {
        m: correlation(side.values(sides.concepts, m), labels) for m in sides.measures
    }  # each [Q,L]
    pairs = None if sides.by or not sides.labels else _pairs(sides, side)
    rows = []
    for j, label in enumerate(sides.labels):
        own = next((i for i, c in enumerate(sides.concepts) if label in (c.slug, c.text)), None)
        row = {"side": side.name, "label": label, "images": int(labels[:, j].sum())}
        row["concept"] = None if own is None else sides.concepts[own].slug
        for m in sides.measures:
            row[f"r_{m}"] = np.nan if own is None else r[m][own, j]
        row |= _best(sides.concepts, {m: r[m][:, j] for m in sides.measures})
        rows.append(row | (pairs[j] if pairs else {"pair": None, "words": "", "r_pair": np.nan}))
    return rows


def _best(concepts: list[Concept], r: dict[str, np.ndarray]) -> dict[str, Any]:
    stacked = np.nan_to_num(np.stack(list(r.values())))  # [F,Q]
    measure, concept = np.unravel_index(np.abs(stacked).argmax(), stacked.shape)
    return {
        "best_concept": concepts[concept].slug,
        "best_measure": list(r)[measure],
        "r_best": float(stacked[measure, concept]),
    }


def _pairs(sides: Sides, side: Side) -> list[dict[str, Any]]:
    """The pair of largest |r| for each label; r is oriented by the pair's sign."""
    index = [side.info["labels"].index(label) for label in sides.labels]
    r = point_biserial(side.moments)[index].flatten(1).nan_to_num().numpy()  # [L,H·C]
    fit = fitted(sides, r.shape[1])
    best = np.abs(r).argmax(1)
    return [
        {
            "pair": int(pair),
            "words": str(fit["words"][pair]),
            "r_pair": float(r[j, pair] * fit["sign"][pair]),
        }
        for j, pair in enumerate(best)
    ]


def correlation(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pearson's r of every column with every column: [n,Q], [n,L] → [Q,L]; NaN if constant."""
    x, y = values - values.mean(0), labels - labels.mean(0)
    spread = np.sqrt(np.square(x).sum(0))[:, None] * np.sqrt(np.square(y).sum(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        r: np.ndarray = np.where(spread > 0, x.T @ y / spread, np.nan)
    return r

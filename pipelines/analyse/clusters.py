"""Which images of a comparison belong together, and what that costs.

Asked for `auto`, shards are taken as clusters if images of one shard are more alike than chance
allows, on either side. That may have two reasons, and both make the shard the unit: near-duplicates
lie in one shard, or shards were written in some order, by source or date, and differ for that.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nhd_ops.clusters import Design, design
from nhd_ops.dependence import alike_p
from pipelines.analyse.sides import Side, Sides
from pipelines.errors import UsageError

LEVEL = 0.01
"""Of the test for dependence, both sides together: half of it for each."""
FEW = 8
"""With fewer clusters on a side, little can be told by clusters."""
FEWEST = 2


@dataclass(frozen=True)
class Clustering:
    """What was decided, in words and numbers."""

    by: str | None
    """`shard`, a column, or None where images count as independent."""
    sentence: str
    numbers: dict[str, Any]
    """by, asked, p of dependence, and per side the clusters and typical design effects."""
    designs: tuple[Design, Design] | None = None
    """Per side, over all concepts; None where not clustered."""

    def effective(self, sides: Sides) -> tuple[float, float]:
        """The images of both sides over the median design effect."""
        one, other = self.numbers["design_effect"] if self.by else (1.0, 1.0)
        return len(sides.baseline.rows) / one, len(sides.current.rows) / other


def clustered(sides: Sides, asked: str, measure: str, seed: int) -> tuple[Sides, Clustering]:
    """The sides with their clusters, decided as `asked`: auto, none, shard or a column.

    Raises UsageError where a column is not there, or clusters were asked for by name and a side has
    only one.
    """
    both = (sides.baseline, sides.current)
    if asked == "none":
        text = "Images are taken to be independent, as --cluster none asked."
        return sides, Clustering(None, text, {"asked": asked, "by": None})
    by = "shard" if asked == "auto" else asked
    codes = _codes([side.rows[by] for side in both])
    counts = [len(np.unique(code)) for code in codes]
    if asked == "auto" and min(counts) < FEWEST:
        lone = both[int(np.argmin(counts))].name
        text = (
            f"Images are taken to be independent: {lone} has one shard only, so that how much "
            "images of one shard depend on each other cannot be told for it."
        )
        return sides, Clustering(None, text, {"asked": asked, "by": None, "clusters": counts})
    for side, count in zip(both, counts, strict=True):
        if count < FEWEST:
            raise UsageError(
                f"{side.name} has a single value of '{by}', and one cluster says nothing about how "
                "much clusters vary: give more data, or another --cluster, or none"
            )
    return _decide(sides, asked, by, codes, measure, seed)


def _decide(
    sides: Sides, asked: str, by: str, codes: list[np.ndarray], measure: str, seed: int
) -> tuple[Sides, Clustering]:
    both = (sides.baseline, sides.current)
    values = [side.values(sides.concepts, measure) for side in both]
    designs = [design(v, c) for v, c in zip(values, codes, strict=True)]
    numbers: dict[str, Any] = {
        "asked": asked,
        "by": by,
        "clusters": [len(np.unique(c)) for c in codes],
        "design_effect": [float(np.median(d.effect)) for d in designs],
        "largest_design_effect": [float(d.effect.max()) for d in designs],
    }
    if asked == "auto":
        p = [alike_p(v, c, seed) for v, c in zip(values, codes, strict=True)]
        numbers |= {"p": p, "level": LEVEL}
        if min(p) > LEVEL / 2:
            numbers["by"] = None
            return sides, Clustering(None, _independent(p), numbers)
    known = [replace(side, clusters=c) for side, c in zip(both, codes, strict=True)]
    trend = None if sides.trend is None else _trend(sides.trend, by)
    found = Clustering(by, _sentence(numbers, both), numbers, (designs[0], designs[1]))
    return replace(sides, baseline=known[0], current=known[1], trend=trend), found


def worst(clustering: Clustering) -> tuple[Design, Design] | None:
    """Per side the largest design effect of any concept: for what is not kept by cluster."""
    if clustering.designs is None:
        return None
    one, other = (Design(d.effect.max(), d.freedom) for d in clustering.designs)
    return one, other


def _codes(columns: list[pd.Series]) -> list[np.ndarray]:
    """The same number for the same value on either side; what is missing is a cluster alone."""
    codes, found = pd.factorize(pd.concat(columns, ignore_index=True).astype(object))
    missing = codes < 0
    codes = codes.astype(np.int64)
    codes[missing] = len(found) + np.arange(missing.sum())
    return np.split(codes, [len(columns[0])])


def _trend(trend: list[Side], by: str) -> list[Side]:
    codes = (_codes([side.rows[by]])[0] for side in trend)
    return [
        replace(side, clusters=code if code.max() > 0 else None)
        for side, code in zip(trend, codes, strict=True)
    ]


def _independent(p: list[float]) -> str:
    return (
        f"Images are taken to be independent: images of one shard are not more alike than chance "
        f"allows (p = {p[0]:.2g} and {p[1]:.2g}; the test calls independent images dependent once "
        f"in {1 / LEVEL:.0f} comparisons)."
    )


def _sentence(numbers: dict[str, Any], sides: tuple[Side, Side]) -> str:
    counts, effects, by = numbers["clusters"], numbers["design_effect"], numbers["by"]
    text = (
        f"The unit is {'the shard' if by == 'shard' else 'a value of ' + by}, not the image: "
        f"{counts[0]:,} and {counts[1]:,} clusters, whose images say as much as "
        f"{len(sides[0].rows) / effects[0]:,.0f} and {len(sides[1].rows) / effects[1]:,.0f} "
        f"independent ones (median design effect {effects[0]:.1f} and {effects[1]:.1f})."
    )
    if "p" in numbers:
        text += (
            f" Images of one shard are more alike than chance allows (p = {min(numbers['p']):.2g}):"
            " near-duplicates lie together, or shards differ by source or date. If they differ for "
            "a reason that both sides share, name a column of smaller clusters, or none."
        )
    if min(counts) < FEW:
        text += (
            f" With {min(counts)} clusters on a side, only very large changes can be told from the "
            "differences between clusters."
        )
    return text

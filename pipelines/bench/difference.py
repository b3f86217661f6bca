"""What differs between two runs over the same input: rows, rejects, coefficients, moments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from nhd_ops.moments import Moments, to_tensors
from pipelines.io.consistency import checked
from pipelines.io.store import Run


@dataclass(frozen=True)
class Difference:
    """All zero for runs that agree."""

    rows_lost: int
    rows_repeated: int
    rows_invented: int
    rejects_different: int
    """Rejects (shard, key, reason) that only one of the runs has."""
    coefficients_different: int
    """Rows whose pairs or coefficients are not equal bit by bit."""
    moments: float
    """Largest difference of the merged moments, relative to the largest value of its kind."""
    files: int
    """Files that are not what their commit records say."""


def difference(
    expected: Run, found: Run, name: Callable[[str], str] = lambda shard: shard
) -> Difference:
    """Compare a run with one that is taken to be right.

    `name` is what a shard goes by: its id, or less of it for shards that lie at other URLs.
    """
    columns = ["shard", "key", "pairs", "coefficients", "embedding"]
    right = {(r["shard"], r["key"]): r for r in _named(expected.images(columns), name)}
    rows = _named(found.images(columns), name)
    seen = {(r["shard"], r["key"]) for r in rows}
    rejects = [
        {(r["shard"], r["key"], r["reason"]) for r in _named(run.rejects(), name)}
        for run in (expected, found)
    ]
    return Difference(
        rows_lost=len(right.keys() - seen),
        rows_repeated=len(rows) - len(seen),
        rows_invented=len(seen - right.keys()),
        rejects_different=len(rejects[0] ^ rejects[1]),
        coefficients_different=sum(row != right.get((row["shard"], row["key"])) for row in rows),
        moments=_furthest(expected.moments(), found.moments()),
        files=len(checked(found).problems),
    )


def _named(table: pa.Table, name: Callable[[str], str]) -> list[dict[str, Any]]:
    return [row | {"shard": name(row["shard"])} for row in table.to_pylist()]


def _furthest(expected: Moments, found: Moments) -> float:
    right, other = to_tensors(expected), to_tensors(found)
    if right.keys() != other.keys():
        return float("inf")
    return max(_relative(right[name], other[name]) for name in right)


def _relative(right: torch.Tensor, other: torch.Tensor) -> float:
    """Whole numbers (counts, and the keys of extremes with their images) must be equal."""
    if right.shape != other.shape or (not right.is_floating_point() and not right.equal(other)):
        return float("inf")
    right, other = right.double().nan_to_num(), other.double().nan_to_num()
    scale = float(right.abs().max()) if right.numel() else 0.0
    return float((right - other).abs().max()) / scale if scale else float(other.abs().sum())

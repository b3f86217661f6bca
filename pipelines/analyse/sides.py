"""The two sides of a comparison: their rows, moments and counts, from two runs or from one.

Rows are put in the order of a seeded hash of their keys, so that samples, splits and folds depend
on the images alone: never on the order of rows, on how they are sharded, or on workers.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nhd_ops.moments import Moments
from nhd_ops.pair_moments import PairMoments
from pipelines.analyse.measure import measures_of
from pipelines.analyse.same_model import same_numbers
from pipelines.errors import UsageError
from pipelines.io.store import Run

FEWEST_IMAGES = 30
_MAPPED = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
"""Whole numbers and booleans with missing values stay what they are."""


@dataclass(frozen=True)
class Concept:
    """A concept by its column name and its text."""

    slug: str
    text: str


@dataclass(frozen=True, eq=False)
class Side:
    """One side: its images and what is known of them as a whole."""

    name: str
    run: Run
    info: dict[str, Any]
    rows: pd.DataFrame
    """shard, key, width, height, every concept's measures, and the labels; in hash order."""
    moments: Moments
    """Of the whole run, also where the side is one bucket of it; without extremes and units."""
    pairs: PairMoments | None
    """Of this side alone; None where the run kept no moments per bucket."""
    counts: dict[str, Any] | None
    """read, written, rejected, reasons; None for a bucket, whose rejects cannot be told."""
    records: list[dict[str, Any]] | None = None
    """The commit records behind the counts; None for a bucket."""
    clusters: np.ndarray | None = None
    """[n] the cluster of each image, the same number for the same one on both sides; None where
    images count as independent (`pipelines.analyse.clusters`)."""

    def head(self, limit: int) -> "Side":
        """The same side with its first `limit` rows."""
        return replace(self, rows=self.rows.head(limit))

    def values(self, concepts: list[Concept], measure: str) -> np.ndarray:
        """[n,Q] of one measure."""
        return self.rows[[f"{measure}_{c.slug}" for c in concepts]].to_numpy(np.float64)

    def features(self, concepts: list[Concept], measures: tuple[str, ...]) -> np.ndarray:
        """[n,Q,F]: these measures of every concept."""
        return np.stack([self.values(concepts, m) for m in measures], axis=-1)

    def embeddings(self, limit: int) -> np.ndarray:
        """[n,D], unit length, of the first `limit` rows; reads one shard's file at a time."""
        wanted = self.rows[["shard", "key"]].head(limit)
        found = {}
        for shard, group in wanted.groupby("shard"):
            table = self.run.table(f"images/{shard}.parquet", ["key", "embedding"])
            place = {key: i for i, key in enumerate(table["key"].to_pylist())}
            rows = [place[key] for key in group["key"]]
            for index, row in zip(group.index, _matrix(table["embedding"].take(rows)), strict=True):
                found[index] = row
        vectors = np.stack([found[index] for index in wanted.index]).astype(np.float64)
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides, and what can be compared between them."""

    baseline: Side
    current: Side
    concepts: list[Concept]
    """Those that both runs scored."""
    labels: list[str]
    dropped: list[str]
    """Concepts and labels that only one side has."""
    measures: tuple[str, ...]
    """Those that mean the same on both sides; see `measure.measures_of`."""
    by: str | None = None
    trend: list[Side] | None = None
    """With `by`: one side for each value of the column, in order."""
    columns: tuple[str, ...] = ()
    """Metadata columns that both runs kept; rows hold `missing:<column>` for each."""


def two_runs(baseline: str, current: str, seed: int, cluster: str = "auto") -> Sides:
    """The whole of two runs; UsageError if their numbers cannot be compared."""
    runs = Run(baseline), Run(current)
    infos = [run.info for run in runs]
    same_numbers(*infos)
    concepts, labels = _shared(infos, "concepts"), _shared(infos, "labels")
    if not concepts:
        raise UsageError("the runs share no concept; extract both with the same --concepts")
    known = [Concept(**c) for c in concepts]
    measures = measures_of(*infos)
    columns = [*_columns(known, labels, measures), *_cluster_column(infos, cluster)]
    kept = [name for name in infos[0]["columns"] if name in infos[1]["columns"]]
    sides = [
        _enough(_side(name, run, info, columns, seed, kept))
        for name, run, info in zip(("baseline", "current"), runs, infos, strict=True)
    ]
    dropped = [_name(item) for field in ("concepts", "labels") for item in _unshared(infos, field)]
    return Sides(sides[0], sides[1], known, labels, dropped, measures, columns=tuple(kept))


def one_run(
    url: str, by: str, values: tuple[str, str] | None, seed: int, cluster: str = "auto"
) -> Sides:
    """Two values of a column of one run: the named ones, or the first against the last."""
    run = Run(url)
    info = run.info
    if by not in info["columns"]:
        raise UsageError(
            f"{url} has no column '{by}'; it has "
            f"{', '.join(sorted(info['columns'])) or 'none (extract with --columns)'}"
        )
    concepts = [Concept(**c) for c in info["concepts"]]
    measures = measures_of(info, info)
    columns = [*_columns(concepts, info["labels"], measures), by, *_cluster_column([info], cluster)]
    kept = [name for name in info["columns"] if name != by]
    whole = _side(by, run, info, columns, seed, kept)
    whole.rows[by] = _as_text(whole.rows[by])
    found = _in_order(whole.rows[by].dropna().unique())
    if len(found) < 2:
        raise UsageError(f"column '{by}' has only one value in {url}; two are needed to compare")
    first, last = values or (found[0], found[-1])
    for value in (first, last):
        if value not in found:
            raise UsageError(f"column '{by}' has no value '{value}'; it has {', '.join(found)}")
    trend = [_bucket(whole, by, value) for value in found]
    chosen = {side.name: side for side in trend}
    baseline, current = (_enough(chosen[f"{by} = {value}"]) for value in (first, last))
    return Sides(baseline, current, concepts, info["labels"], [], measures, by, trend, tuple(kept))


def _cluster_column(infos: list[dict[str, Any]], cluster: str) -> list[str]:
    """The column to read for clusters, none for those that are always there."""
    if cluster in ("auto", "none", "shard"):
        return []
    for info in infos:
        if cluster not in info["columns"]:
            raise UsageError(
                f"--cluster takes auto, none, shard or a column of both runs; '{cluster}' is none: "
                f"a run has {', '.join(sorted(info['columns'])) or 'no columns'}"
            )
    return [cluster]


def _columns(concepts: list[Concept], labels: list[str], measures: tuple[str, ...]) -> list[str]:
    measured = [f"{m}_{c.slug}" for c in concepts for m in measures]
    return ["shard", "key", "width", "height", *measured, *labels]


def _side(
    name: str, run: Run, info: dict[str, Any], columns: list[str], seed: int, kept: list[str]
) -> Side:
    wanted = list(dict.fromkeys(columns))
    table = run.images(list(dict.fromkeys([*wanted, *kept])))
    missing = {f"missing:{column}": table[column].is_null() for column in kept}
    frame = table.select(wanted).to_pandas(types_mapper=_MAPPED.get)
    for column, nulls in missing.items():
        frame[column] = nulls.to_numpy()
    moments, records = run.moments(units=False), run.records()
    rows = hash_order(frame, seed)
    return Side(name, run, info, rows, moments, moments.pairs, _counts(records), records)


def _as_text(values: pd.Series) -> pd.Series:
    """As the buckets of the moments are named; missing values stay missing."""
    return values.astype(object).map(str, na_action="ignore")


def hash_order(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """By hash of the key; the shard only breaks ties, as its id depends on where the data lie."""
    hashed = pd.util.hash_array(rows["key"].to_numpy(object), hash_key=f"{seed:016d}"[-16:])
    order = np.lexsort((rows["shard"].to_numpy(str), rows["key"].to_numpy(str), hashed))
    return rows.iloc[order].reset_index(drop=True)


def _bucket(whole: Side, by: str, value: str) -> Side:
    rows = whole.rows[whole.rows[by] == value].reset_index(drop=True)
    kept = whole.info.get("bucket") == by
    pairs = whole.moments.buckets.get(value) if kept else None
    return Side(f"{by} = {value}", whole.run, whole.info, rows, whole.moments, pairs, None)


def _enough(side: Side) -> Side:
    if len(side.rows) < FEWEST_IMAGES:
        raise UsageError(
            f"{side.name} has {len(side.rows)} images; a comparison needs at least "
            f"{FEWEST_IMAGES} on each side"
        )
    return side


def _counts(records: list[dict[str, Any]]) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for record in records:
        for reason, count in record["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    totals = {field: sum(r[field] for r in records) for field in ("read", "written", "rejected")}
    return {**totals, "shards": len(records), "reasons": reasons}


def _shared(infos: list[dict[str, Any]], field: str) -> list[Any]:
    return [item for item in infos[0][field] if item in infos[1][field]]


def _unshared(infos: list[dict[str, Any]], field: str) -> list[Any]:
    one, other = infos[0][field], infos[1][field]
    return [x for x in one if x not in other] + [x for x in other if x not in one]


def _name(item: Any) -> str:
    return item["text"] if isinstance(item, dict) else str(item)


def _in_order(values: Any) -> list[str]:
    """Numbers by size, anything else by letter."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    joined = column.combine_chunks()
    flat: np.ndarray = joined.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(joined), -1)

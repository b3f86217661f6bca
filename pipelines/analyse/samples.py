"""Flagged samples: the few images behind the findings, to be looked at by people.

Flagged is what shows best why the comparison found what it found: for each changed concept the
images in the tail that the change feeds, of each side those that the domain classifier is surest
of, and the samples that the current side lost. A flagged image is no error: most of those in a tail
would be there had nothing changed, and no single image is the change.

What is flagged depends on the images and the seed alone, not on the order of rows or on shards.
See nhd_ops/README.md, section 6.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.analyse.domain import CrossFitted
from pipelines.analyse.findings import Finding
from pipelines.analyse.sides import Side, Sides, hash_order
from pipelines.io.urls import without_secrets

TAIL = 0.1
"""At most this part of a side is flagged for one reason, but at least one image."""
PER_CONCEPT = 50
"""Images of each side for one concept."""
MOST_CONCEPTS = 100
"""Concepts with the largest effects, for which images are flagged."""
PER_CLASSIFIER = 100
"""Images of each side for the classifier."""
MOST_REJECTS = 1_000
"""Rejects; of more, some of every reason."""
CLASSIFIER = "domain classifier"

SAMPLES = pa.schema(
    [
        *((name, pa.string()) for name in ("side", "shard", "key", "url", "why", "name", "text")),
        ("value", pa.float64()),
        ("baseline_quantile", pa.float64()),
        ("rank", pa.int32()),
    ]
)
"""`side` is baseline or current; `url` the shard's; `why` concept, classifier or reject; `name` the
concept's column name, the classifier or the reason; `text` the concept's text, or what was wrong in
detail; `value` the measure that decided, or the log odds of being of the current side;
`baseline_quantile` the part of the baseline's images that have less; `rank` from 0, the strongest
first. Rejects have no value."""


def flagged(
    sides: Sides, findings: Sequence[Finding], classified: CrossFitted, measure: str, seed: int
) -> pa.Table:
    """The flagged samples [SAMPLES] of a comparison, by reason, side and rank.

    Where nothing changed there are only rejects. `classified` are the scores of the first rows of
    both sides. Buckets of one run have no rejects of their own.
    """
    both = (("baseline", sides.baseline), ("current", sides.current))
    changed = [f for f in findings if f["shifted"] and f["kind"] == "concept"][:MOST_CONCEPTS]
    parts = [
        _of_concept(which, side, sides.baseline, finding, measure)
        for finding in changed
        for which, side in both
    ]
    if any(f["shifted"] for f in findings if f["kind"] == "overall"):
        parts += [_of_classifier(which, side, classified) for which, side in both]
    parts.append(_rejected(sides.current, seed))
    tables = (pa.Table.from_pandas(p, SAMPLES, preserve_index=False) for p in parts)
    return pa.concat_tables(tables).replace_schema_metadata(None)


def _of_concept(
    which: str, side: Side, baseline: Side, finding: Finding, measure: str
) -> pd.DataFrame:
    """The tail that the change feeds: the highest values of what grew, else the lowest."""
    column = f"{measure}_{finding['name']}"
    values, against = (s.rows[column].to_numpy(np.float64) for s in (side, baseline))
    way = -1 if finding["direction"] == "down" else 1
    rows = np.argsort(-way * values, kind="stable")[: _most(PER_CONCEPT, len(values))]
    what = {"why": "concept", "name": finding["name"], "text": finding["text"]}
    return _table(which, side, rows, values, against, what)


def _of_classifier(which: str, side: Side, classified: CrossFitted) -> pd.DataFrame:
    """Those whose side the classifier, which has not seen them, tells with the largest odds."""
    way = 1 if which == "current" else -1
    values = classified.current if which == "current" else classified.baseline
    rows = np.argsort(-way * values, kind="stable")[: _most(PER_CLASSIFIER, len(values))]
    rows = rows[way * values[rows] > 0]
    what = {"why": "classifier", "name": CLASSIFIER, "text": f"looks like the {which} side"}
    return _table(which, side, rows, values, classified.baseline, what)


def _most(limit: int, images: int) -> int:
    return max(1, min(limit, int(TAIL * images)))


def _table(
    which: str,
    side: Side,
    rows: np.ndarray,
    values: np.ndarray,
    against: np.ndarray,
    what: dict[str, str],
) -> pd.DataFrame:
    found = side.rows.iloc[rows][["shard", "key"]].reset_index(drop=True)
    found["side"] = which
    found["url"] = _urls(side, found["shard"])
    found["value"] = values[rows]
    found["baseline_quantile"] = _quantiles(values[rows], against)
    found["rank"] = np.arange(len(found))
    return found.assign(**what)


def _quantiles(values: np.ndarray, against: np.ndarray) -> np.ndarray:
    """The part of `against` below each value; equal ones count half."""
    ordered = np.sort(against)
    below, upto = (np.searchsorted(ordered, values, way) for way in ("left", "right"))
    found: np.ndarray = (below + upto) / (2 * len(ordered))
    return found


def _urls(side: Side, shards: pd.Series) -> list[str | None]:
    known = side.run.shard_urls
    return [without_secrets(known[shard]) if shard in known else None for shard in shards]


def _rejected(side: Side, seed: int) -> pd.DataFrame:
    """Of each reason equally many, as far as there are, in the order of the keys' hashes."""
    kept = pd.DataFrame(columns=["shard", "key", "reason", "detail"], dtype=object)
    for record in side.records or []:
        if record["rejected"]:
            kept = _some(pd.concat([kept, _rejects(side, record)]), seed)
    kept = kept.sort_values(["place", "reason"], kind="stable") if len(kept) else kept
    found = kept.head(MOST_REJECTS).reset_index(drop=True)
    found = found.rename(columns={"reason": "name", "detail": "text"})
    found["url"] = _urls(side, found["shard"])
    found["rank"] = np.arange(len(found))
    blank: dict[str, Any] = {"value": np.nan, "baseline_quantile": np.nan}
    return found.assign(side="current", why="reject", **blank)


def _rejects(side: Side, record: dict[str, Any]) -> pd.DataFrame:
    path = f"rejects/{record['shard']}.parquet"
    return side.run.table(path, ["shard", "key", "reason", "detail"]).to_pandas()


def _some(rejects: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The first MOST_REJECTS of each reason; `place` is that among those of its reason."""
    ordered = hash_order(rejects, seed)
    ordered["place"] = ordered.groupby("reason").cumcount()
    return ordered[ordered["place"] < MOST_REJECTS]

"""What a fit found, in about a dozen lines: the most important pairs in words, then how much."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.io.store import Run
from pipelines.pages.numbers import percent
from pipelines.terminal.aligned import WIDTH, aligned, first_words, noted, width

SHOWN = 8
COLUMNS = ["head", "neuron", "importance", "words"]


def fit_lines(url: str, summary: dict[str, Any], wide: int = WIDTH) -> list[str]:
    """The lines for a fitted run, given what `fit` returned; reads the tables of the fit."""
    run = Run(url)
    pairs = run.table("fit/pairs.parquet", COLUMNS).sort_by([("importance", "descending")])
    fitted = f"{summary['pairs']:,} pairs fitted on {summary['images']:,} images"
    notes = [
        ("half", _half(pairs["importance"].to_numpy())),
        ("explained", _explained(run)),
        ("codes", _codes(summary)),
        ("sign −", f"{summary['pairs_of_negative_sign']:,} pairs deviate downwards more than up"),
    ]
    return [f"{fitted}. The most important:", "", *_table(pairs, wide), "", *noted(notes, wide)]


def _table(pairs: pa.Table, wide: int) -> list[str]:
    rows = [("head,neuron", "importance", "words")]
    room = wide - width(f"  {rows[0][0]}  {rows[0][1]}  ")
    for row in pairs.slice(0, SHOWN).to_pylist():
        place = f"{row['head']},{row['neuron']}"
        rows.append((place, f"{row['importance']:#.3g}", first_words(row["words"], room)))
    return [f"  {line}" for line in aligned(rows, (1,))]


def _half(importance: np.ndarray) -> str:
    """How few pairs have half of the importance, given it in descending order."""
    part = np.cumsum(importance) / max(importance.sum(), 1e-30)
    count = int(np.searchsorted(part, 0.5)) + 1
    return f"the first {count:,} pairs ({percent(count / len(part))}) have half of all importance"


def _explained(run: Run) -> str:
    neuron, head = (percent(_first_component(run, units), 0) for units in ("neurons", "heads"))
    return f"one component: {neuron} of a neuron's variance, {head} of a head's (median)"


def _first_component(run: Run, units: str) -> float:
    """The median over the units of what their first component explains of their variance."""
    table = run.table(f"fit/{units}.parquet", ["rank", "explained_variance_ratio"])
    first = table.filter(pc.equal(table["rank"], 0))["explained_variance_ratio"].to_numpy()
    return float(np.nanmedian(first))


def _codes(summary: dict[str, Any]) -> str:
    if not summary["atoms"]:
        return f"none; nearest of {summary['dictionary']:,} words only"
    return f"{summary['atoms']:,} of {summary['dictionary']:,} words per pair"

"""A lens in a few lines: what each concept rests on, and which concepts it sees worst."""

from collections.abc import Iterator, Sequence

import pandas as pd

from pipelines.io.store import Run
from pipelines.lens.lens import read_lens

SHOWN = 3  # pairs of each concept
WEAK = 0.5
"""A held-out correlation below this: three quarters of what varies is not followed."""


def summary(url: str) -> Iterator[str]:
    """One line per concept, the worst held-out correlation last; then what to beware of."""
    chosen = read_lens(url).info["grounded"]["concepts"]
    pairs = Run(url).table("concepts.parquet").to_pandas()
    pairs = pairs[pairs["rule"] == "grounded"]
    order = sorted(chosen, key=lambda concept: -concept["held_out_r"])
    rows = [("concept", "k", "pairs", "held-out r", "first pairs")]
    for concept in order:
        first = pairs[pairs["slug"] == concept["slug"]].nsmallest(SHOWN, "rank")
        r = f"{concept['held_out_r']:.3f} ± {concept['standard_error']:.3f}"
        rows.append((concept["slug"], str(concept["k"]), str(concept["pairs"]), r, _pairs(first)))
    yield from _aligned(rows)
    if weak := [concept["slug"] for concept in order if concept["held_out_r"] < WEAK]:
        yield (
            f"WARNING: below a held-out r of {WEAK}, a grounded score says little of its concept: "
            f"{', '.join(reversed(weak))}"
        )


def _pairs(first: pd.DataFrame) -> str:
    shown = []
    for row in first.itertuples():
        words = ("" if row.sign > 0 or not row.words else "not ") + ", ".join(
            str(row.words).split(", ")[:2]
        )
        shown.append(f"h{row.head}n{row.neuron}" + (f" ({words})" if words else ""))
    return "; ".join(shown) or "none: no pair follows it"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()

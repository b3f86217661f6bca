"""A lens in a few lines: what each concept rests on, and which concepts it sees worst."""

from collections.abc import Iterator
from typing import Any

from pipelines.io.store import Run
from pipelines.lens.lens import read_lens
from pipelines.terminal.aligned import aligned

SHOWN = 3  # pairs of each concept
WEAK = 0.5
"""A held-out correlation below this: three quarters of what varies is not followed."""


def summary(url: str) -> Iterator[str]:
    """One line per concept, the worst held-out correlation last; then what to beware of."""
    chosen = read_lens(url).info["grounded"]["concepts"]
    pairs = [row for row in _pairs(url) if row["rule"] == "grounded" and row["rank"] < SHOWN]
    order = sorted(chosen, key=lambda concept: -concept["held_out_r"])
    rows = [("concept", "k", "pairs", "held-out r", "first pairs")]
    for concept in order:
        first = [_named(row) for row in pairs if row["slug"] == concept["slug"]]
        r = f"{concept['held_out_r']:.3f} ± {concept['standard_error']:.3f}"
        shown = "; ".join(first) or "none: no pair follows it"
        rows.append((concept["slug"], str(concept["k"]), str(concept["pairs"]), r, shown))
    yield from aligned(rows)
    if weak := [concept["slug"] for concept in order if concept["held_out_r"] < WEAK]:
        yield (
            f"WARNING: below a held-out r of {WEAK}, a grounded score says little of its concept: "
            f"{', '.join(reversed(weak))}"
        )


def _pairs(url: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Run(url).table("concepts.parquet").to_pylist()
    return rows


def _named(row: dict[str, Any]) -> str:
    """The words are those of sign·u, but a grounded pair stands for its concept as it grows."""
    words = ", ".join(row["words"].split(", ")[:2])
    told = f" ({'not ' if row['sign'] < 0 else ''}{words})" if words else ""
    return f"h{row['head']}n{row['neuron']}{told}"

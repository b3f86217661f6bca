"""A pair as a card: HTML where a notebook asks for it, plain text elsewhere."""

import json
import math
from dataclasses import dataclass
from typing import Any

from pipelines.io.shards import fetch
from pipelines.io.store import Run, Where
from pipelines.pages.numbers import signed
from pipelines.pages.page import page
from pipelines.pages.thumbnail import thumbnail
from pipelines.terminal.aligned import aligned, noted

ATOMS, LABELS = 8, 6
SIDE = 128  # pixels of a picture, shown somewhat smaller
Named = tuple[tuple[str, float], ...]
"""Words or labels, each with its number."""


@dataclass(frozen=True)
class Shown:
    """One exemplar; `uri` is None where its image was not asked for or cannot be read again."""

    shard: str
    key: str
    coefficient: float
    """s·‖u‖"""
    uri: str | None
    """A data URI of the picture."""
    heat: str | None = None
    """Where in it the pair fires, if that was asked for."""


@dataclass(frozen=True, repr=False)
class PairCard:
    """What there is to see of one pair."""

    pair: int
    head: int
    neuron: int
    words: tuple[str, ...]
    sign: int
    importance: float
    rank: int
    """By importance among all pairs, from 1."""
    of: int
    """All pairs."""
    mean: float
    """Of s·‖u‖ over the run."""
    std: float
    inertia: float | None
    code: Named
    """The first words of the sparse code, in order of selection; empty without codes."""
    atoms: int
    """How many words the code has."""
    labels: Named
    """The labels of largest |r| with the pair."""
    images: tuple[Shown, ...]
    note: str
    """What to beware of, or nothing."""

    @property
    def facts(self) -> list[str]:
        """The numbers, in words."""
        found = [
            f"importance {self.importance:#.3g}, number {self.rank:,} of {self.of:,}",
            f"mean {self.mean:.3g}, standard deviation {self.std:.3g}".replace("-", "−"),
        ]
        found += [] if self.inertia is None else [f"inertia {self.inertia:.2f}"]
        return found + (["sign −: its words name its negative side"] if self.sign < 0 else [])

    def _repr_html_(self) -> str:
        return page("pair.html", styles=("pair.css",), scripts=(), card=self)

    def __repr__(self) -> str:
        notes = [
            ("words", ", ".join(self.words)),
            ("numbers", "; ".join(self.facts)),
            ("labels", _pairwise(self.labels)),
            ("code", f"{_pairwise(self.code)} (first of {self.atoms} words)" if self.code else ""),
            ("note", self.note),
        ]
        head = f"Pair {self.pair}: head {self.head}, neuron {self.neuron}"
        rows = [(f"{one.coefficient:+.2f}", one.shard, one.key) for one in self.images]
        table = aligned([("coefficient", "shard", "key"), *rows], (0,))
        return "\n".join([head, *noted(notes), *table])


def pair_card(run: Run, info: dict[str, Any], pair: int, images: bool, heat: bool) -> PairCard:
    """The card of a pair that exists.

    Raises UsageError without a fit; with `heat` also for other weights than the run's, and where
    images were added since the fit.
    """
    where = [("pair", "=", pair)]
    importance = run.table("fit/pairs.parquet", ["importance"])["importance"].to_numpy()
    (row,) = run.table("fit/pairs.parquet", where=where).to_pylist()
    exemplars = run.table("fit/exemplars.parquet", where=where).to_pylist()
    code, norm = _code(run, where), row["direction_norm"]
    return PairCard(
        pair=pair,
        head=row["head"],
        neuron=row["neuron"],
        words=tuple(row["words"]),
        sign=row["sign"],
        importance=row["importance"],
        rank=int((importance > row["importance"]).sum()) + 1,
        of=len(importance),
        mean=row["mean"] * norm,
        std=row["std"] * norm,
        inertia=None if math.isnan(row["inertia"]) else row["inertia"],
        code=code[:ATOMS],
        atoms=len(code),
        labels=_labels(row, info["labels"]),
        images=_images(run, pair, exemplars, images, heat),
        note=_note(run),
    )


def _code(run: Run, where: Where) -> Named:
    if not run.exists("fit", "codes.parquet"):  # a fit without codes
        return ()
    rows = run.table("fit/codes.parquet", where=where).to_pylist()
    return tuple((row["word"], row["coefficient"]) for row in rows)


def _labels(row: dict[str, Any], labels: list[str]) -> Named:
    """The labels of largest |r|; those that do not vary have none."""
    known = [(name, row[f"r_{name}"]) for name in labels if not math.isnan(row[f"r_{name}"])]
    return tuple(sorted(known, key=lambda item: -abs(item[1]))[:LABELS])


def _images(
    run: Run, pair: int, exemplars: list[dict[str, Any]], images: bool, heat: bool
) -> tuple[Shown, ...]:
    places = [(e["shard"], e["key"]) for e in exemplars]
    seen = _seen(run, pair, places, heat) if images or heat else {}
    both = zip(places, exemplars, strict=True)
    return tuple(Shown(*at, e["coefficient"], *seen.get(at, (None, None))) for at, e in both)


def _seen(
    run: Run, pair: int, places: list[tuple[str, str]], heat: bool
) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """Picture and map of the images that can still be read."""
    if heat:
        from pipelines.explain.heated import heated  # loads torch and the model

        return dict(heated(run.url, pair))
    files = fetch(run.shard_urls, places)
    return {place: (thumbnail(data, SIDE), None) for place, data in files.items()}


def _note(run: Run) -> str:
    """Says so where the fit did not end, or images were added since."""
    if not run.exists("fit", "fit.json"):
        return "the fit did not end, so its tables may not belong together: run nhd fit again"
    fitted = json.loads(run.read("fit", "fit.json"))["images"]
    images = sum(record["written"] for record in run.each_record())
    if fitted == images:
        return ""
    return f"fitted on {fitted:,} images, but the run now holds {images:,}: run nhd fit again"


def _pairwise(named: Named) -> str:
    return ", ".join(f"{signed(value)} {name}" for name, value in named)

"""The pages of an atlas, one by one, from what the fit says and the tiles that were made."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from pipelines.atlas.facts import Facts, histograms
from pipelines.atlas.model import HeadPart, Label, Neighbour, NeuronPage, PairPage, Tile
from pipelines.atlas.rows import LARGEST, NEURON, SMALLEST, Row, Rows
from pipelines.atlas.tiles import Found, tiles_of
from pipelines.atlas.units import Units
from pipelines.explain.fitted import Fitted
from pipelines.explain.pair import labels_of
from pipelines.explain.rows import WORDS, facts, pair_facts, words

OF_A_HEAD = 3  # labels beside each head of a neuron
MEASURED = ("inertia", "clarity", "polysemanticity")


class Source(NamedTuple):
    """All that pages are made from."""

    fitted: Fitted
    units: Units
    facts: Facts
    rows: Rows
    found: Found


def pair_pages(source: Source) -> Iterator[PairPage]:
    """One page for each pair, the most important first."""
    ranks = source.units.pair_ranks
    for pair in sorted(source.units.pairs, key=lambda pair: int(ranks[pair])):
        yield _pair_page(source, pair)


def neuron_pages(source: Source) -> Iterator[NeuronPage]:
    """One page for each neuron, the most important first."""
    ranks = source.units.neuron_ranks
    for neuron in sorted(source.units.neurons, key=lambda neuron: int(ranks[neuron])):
        yield _neuron_page(source, neuron)


def missing(source: Source) -> int:
    """Tiles whose image could not be read again, counted once for each row."""
    return sum(
        (row, exemplar.shard, exemplar.key) not in source.found
        for row, shown in source.rows.items()
        for exemplar in shown
    )


def _pair_page(source: Source, pair: int) -> PairPage:
    fitted, about = source.fitted, source.facts
    found = pair_facts(fitted, pair)
    head, neuron, norm = found["head"], found["neuron"], found["direction_norm"]
    largest, smallest = tiles_of(_sides(source, pair), source.rows, source.found)
    return PairPage(
        pair=pair,
        head=head,
        neuron=neuron,
        sign=found["sign"],
        rank=int(source.units.pair_ranks[pair]),
        words=tuple(found["words"]),
        code=about.codes.get(pair, ()),
        importance=found["importance"],
        mean=found["mean"],
        std=found["std"],
        direction_norm=norm,
        **_measures(found),
        share=float(source.units.shares[neuron, head]),
        follows=_followed(source, pair),
        labels=_labels(fitted, pair),
        largest=largest,
        smallest=smallest,
        neighbours=_neighbours(source, pair),
        histograms=histograms(about, pair, norm),
    )


def _neuron_page(source: Source, neuron: int) -> NeuronPage:
    fitted, units = source.fitted, source.units
    row = fitted.neurons.iloc[neuron]
    found = facts(row, ("explained_variance_ratio",))
    table = source.facts.neurons
    measured = facts(table.loc[neuron], MEASURED) if neuron in table.index else {}
    order = (-units.shares[neuron]).argsort(kind="stable").tolist()
    strong = [head for head in order if head in units.heads[neuron]]
    described = [_sides(source, fitted.pair(head, neuron))[0] for head in strong]
    of_heads = tiles_of(described, source.rows, source.found)
    (tiles,) = tiles_of([Row(NEURON, neuron)], source.rows, source.found)
    by_head = dict(zip(strong, of_heads, strict=True))
    return NeuronPage(
        neuron=neuron,
        rank=int(units.neuron_ranks[neuron]),
        words=tuple(words(row)),
        importance=float(units.importance[neuron]),
        explained=found.get("explained_variance_ratio"),
        **_measures(measured),
        heads=tuple(_head_part(source, head, neuron, by_head.get(head, ())) for head in order),
        tiles=tiles,
        labels=source.facts.of_neurons.labels[neuron],
        neighbours=source.facts.of_neurons.near[neuron],
    )


def _head_part(source: Source, head: int, neuron: int, tiles: tuple[Tile, ...]) -> HeadPart:
    fitted, units = source.fitted, source.units
    pair = fitted.pair(head, neuron)
    return HeadPart(
        pair=pair,
        head=head,
        share=float(units.shares[neuron, head]),
        words=_words(fitted.pairs, pair),
        sign=int(fitted.pairs["sign"].to_numpy()[pair]),
        tiles=tiles,
        labels=_labels(fitted, pair)[:OF_A_HEAD],
    )


def _labels(fitted: Fitted, pair: int) -> tuple[Label, ...]:
    return tuple(Label(name, r) for name, r in labels_of(fitted, pair).items())


def _sides(source: Source, pair: int) -> tuple[Row, Row]:
    """The side of the pair's words, then the other."""
    up, down = Row(LARGEST, pair), Row(SMALLEST, pair)
    return (up, down) if source.fitted.pairs["sign"].to_numpy()[pair] > 0 else (down, up)


def _neighbours(source: Source, pair: int) -> tuple[Neighbour, ...]:
    pairs, cosines = source.facts.near[pair]
    table = source.fitted.pairs
    return tuple(
        Neighbour(other, cosine, _words(table, other))
        for other, cosine in zip(pairs, cosines, strict=True)
    )


def _followed(source: Source, pair: int) -> tuple[str, float] | None:
    r, which = (values[pair] for values in source.facts.follows)
    concepts = source.fitted.info["concepts"]
    return (concepts[int(which)]["text"], float(r)) if r else None


def _words(table: pd.DataFrame, pair: int) -> tuple[str, ...]:
    return tuple(map(str, table["words"].to_numpy()[pair][:WORDS]))


def _measures(found: dict[str, Any]) -> dict[str, float | None]:
    return {name: found.get(name) for name in MEASURED}

"""Lists of units in several orders, cut into pages: sorting works without a script."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.atlas.site.contents import Contents, Row

PER_PAGE = 100
ORDERS: dict[str, Callable[[Any], Any]] = {
    "importance": lambda row: row.rank,
    "clarity": lambda row: (row.clarity is None, -(row.clarity or 0.0)),
    "polysemanticity": lambda row: (row.polysemanticity is None, row.polysemanticity),
    "words": lambda row: (not row.words, [word.casefold() for word in row.words]),
}


@dataclass(frozen=True)
class ListPage:
    """One page of a list."""

    kind: str
    """pairs or neurons."""
    title: str
    order: str
    number: int
    pages: int
    total: int
    name: str
    rows: tuple[Row, ...]

    @property
    def path(self) -> str:
        """Its place in the site."""
        return self.at(self.number)

    def at(self, number: int) -> str:
        """The place of another page of the same list."""
        return f"lists/{self.name}{'' if number == 1 else f'-{number}'}.html"


def heads(contents: Contents) -> dict[int, int]:
    """How many pairs with a page each head has."""
    counts: dict[int, int] = {}
    for row in contents.pairs:
        counts[row.head] = counts.get(row.head, 0) + 1
    return dict(sorted(counts.items()))


def list_pages(contents: Contents) -> Iterator[ListPage]:
    """All lists: pairs and neurons in every order, then the pairs of each head."""
    every: dict[str, Sequence[Row]] = {"pairs": contents.pairs, "neurons": contents.neurons}
    for kind, rows in every.items():
        for order, key in ORDERS.items():
            title = f"{len(rows):,} {kind} by {order}"
            yield from _cut(kind, title, order, f"{kind}-{order}", sorted(rows, key=key))
    for head in heads(contents):
        found = [row for row in contents.pairs if row.head == head]
        title = f"Head {head}: {len(found):,} {'pair' if len(found) == 1 else 'pairs'}"
        yield from _cut("pairs", title, "", f"head-{head}", found)


def _cut(kind: str, title: str, order: str, name: str, rows: Sequence[Row]) -> Iterator[ListPage]:
    pages = max(1, -(-len(rows) // PER_PAGE))
    for number in range(1, pages + 1):
        shown = tuple(rows[(number - 1) * PER_PAGE : number * PER_PAGE])
        yield ListPage(kind, title, order, number, pages, len(rows), name, shown)

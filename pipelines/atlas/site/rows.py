"""What the site keeps of every unit while it writes: enough for lists, links and the search."""

from typing import NamedTuple

from pipelines.atlas.model import Label, NeuronPage, PairPage, Tile

THUMBS = 5
"""Pictures in a row of a list."""
CODED = 5
"""A pair is found by so many words of its sparse code, those that were taken first."""
NAMED = 3
FOUND_FROM = 0.2
"""Both are found by the labels they correlate with most: so many, from this r on."""


class PairRow(NamedTuple):
    """One pair in a list; every r is oriented, so that + means more of its words."""

    head: int
    neuron: int
    rank: int
    words: tuple[str, ...]
    code: tuple[str, ...]
    follows: tuple[str, float] | None
    labels: tuple[str, ...]
    importance: float
    clarity: float | None
    polysemanticity: float | None
    thumbs: tuple[str, ...]

    @property
    def path(self) -> str:
        """The page's place in the site."""
        return f"pairs/{self.head}-{self.neuron}.html"


class NeuronRow(NamedTuple):
    """One neuron in a list."""

    neuron: int
    rank: int
    words: tuple[str, ...]
    labels: tuple[str, ...]
    importance: float
    clarity: float | None
    polysemanticity: float | None
    heads: tuple[tuple[int, float], ...]
    """All heads and their shares, the largest first."""
    thumbs: tuple[str, ...]

    @property
    def path(self) -> str:
        """The page's place in the site."""
        return f"neurons/{self.neuron}.html"


def pair_row(page: PairPage) -> PairRow:
    """The row of a page."""
    follows = page.follows and (page.follows[0], page.sign * page.follows[1])
    return PairRow(
        page.head,
        page.neuron,
        page.rank,
        page.words,
        tuple(word for word, _ in page.code[:CODED]),
        follows,
        _names(page.labels, page.sign),
        page.importance,
        page.clarity,
        page.polysemanticity,
        _thumbs(page.largest),
    )


def neuron_row(page: NeuronPage) -> NeuronRow:
    """The row of a page."""
    return NeuronRow(
        page.neuron,
        page.rank,
        page.words,
        _names(page.labels),
        page.importance,
        page.clarity,
        page.polysemanticity,
        tuple((part.head, part.share) for part in page.heads),
        _thumbs(page.tiles),
    )


def _names(labels: tuple[Label, ...], sign: int = 1) -> tuple[str, ...]:
    near = sorted((-sign * label.r, label.name) for label in labels)[:NAMED]
    return tuple(name for r, name in near if -r >= FOUND_FROM)


def _thumbs(tiles: tuple[Tile, ...]) -> tuple[str, ...]:
    return tuple(tile.image for tile in tiles if tile.image)[:THUMBS]

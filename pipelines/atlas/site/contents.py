"""Which pages a site has, in which order, and what leads from one to the next."""

from dataclasses import dataclass

from pipelines.atlas.model import About
from pipelines.atlas.site.rows import NeuronRow, PairRow
from pipelines.atlas.site.topics import Topic, path

Row = PairRow | NeuronRow


@dataclass(frozen=True)
class Steps:
    """The pages before and after one, by importance."""

    before: Row | None
    after: Row | None


@dataclass(frozen=True)
class Head:
    """One head of a neuron, as a pair's page links to it."""

    head: int
    share: float | None
    page: PairRow | None


class Contents:
    """All units of the site, the most important first."""

    def __init__(
        self,
        about: About,
        pairs: dict[int, PairRow],
        neurons: list[NeuronRow],
        topics: tuple[Topic, ...],
    ) -> None:
        self.about, self.topics = about, topics
        self.pairs = sorted(pairs.values(), key=lambda row: (row.rank, row.head, row.neuron))
        self.neurons = sorted(neurons, key=lambda row: (row.rank, row.neuron))
        self._pair = pairs
        self._neuron = {row.neuron: row for row in neurons}
        self._place: dict[str, int] = {}
        self._place |= {row.path: i for i, row in enumerate(self.pairs)}
        self._place |= {row.path: i for i, row in enumerate(self.neurons)}
        self._heads: dict[int, dict[int, PairRow]] = {}
        for row in self.pairs:
            self._heads.setdefault(row.neuron, {})[row.head] = row

    def pair(self, pair: int) -> PairRow | None:
        """The row of a pair that has a page."""
        return self._pair.get(pair)

    def neuron(self, neuron: int) -> NeuronRow | None:
        """The row of a neuron that has a page."""
        return self._neuron.get(neuron)

    def topic(self, name: str) -> str:
        """The page of a label or concept."""
        return path(name)

    def name(self, pair: int) -> str:
        """Head and neuron of any pair, in the atlas or not."""
        head, neuron = divmod(pair, self.about.neurons)
        return f"{head} · {neuron}"

    def heads_of(self, neuron: int) -> tuple[Head, ...]:
        """All heads of a neuron that has a page; of another those whose pairs have one."""
        pages = self._heads.get(neuron, {})
        known = self._neuron.get(neuron)
        if known is None:
            return tuple(Head(head, None, row) for head, row in sorted(pages.items()))
        return tuple(Head(head, share, pages.get(head)) for head, share in known.heads)

    def around(self, at: str) -> Steps:
        """What is before and after a page among its like."""
        rows: list[PairRow] | list[NeuronRow]
        rows = self.pairs if at.startswith("pairs/") else self.neurons
        i = self._place[at]
        return Steps(rows[i - 1] if i else None, rows[i + 1] if i + 1 < len(rows) else None)

"""Ways into an atlas by a name: for each label and concept, the pairs that go with it."""

import hashlib
import heapq
import re
from dataclasses import dataclass, field

from pipelines.atlas.model import About, PairPage
from pipelines.atlas.site.rows import PairRow

MOST = 50
"""Pairs shown for a label or a concept."""


@dataclass(frozen=True)
class Topic:
    """A name that is a label of the run, or one of its concepts, or both."""

    name: str
    path: str
    is_label: bool
    is_concept: bool
    labelled: tuple[tuple[float, PairRow], ...]
    """Pairs by their oriented correlation with the label, the largest first."""
    following: tuple[tuple[float, PairRow], ...]
    """Pairs that follow the concept more than any other, likewise."""

    @property
    def best(self) -> float | None:
        """The largest correlation of any pair with it."""
        found = [rows[0][0] for rows in (self.labelled, self.following) if rows]
        return max(found, default=None)


@dataclass
class Topics:
    """Gathers the pairs of every name while pages go by."""

    about: About
    _labelled: dict[str, list[tuple[float, int, PairRow]]] = field(default_factory=dict)
    _following: dict[str, list[tuple[float, int, PairRow]]] = field(default_factory=dict)

    def add(self, page: PairPage, row: PairRow) -> None:
        """Take note of one pair."""
        for label in page.labels:
            _keep(self._labelled.setdefault(label.name, []), page.sign * label.r, row)
        if row.follows and row.follows[1] > 0:
            _keep(self._following.setdefault(row.follows[0], []), row.follows[1], row)

    def topics(self) -> tuple[Topic, ...]:
        """All names of the run in alphabetical order."""
        names = {*self.about.labels, *self.about.concepts, *self._labelled, *self._following}
        return tuple(self._topic(name) for name in sorted(names, key=lambda n: (n.casefold(), n)))

    def _topic(self, name: str) -> Topic:
        return Topic(
            name,
            path(name),
            name in self.about.labels,
            name in self.about.concepts,
            _sorted(self._labelled.get(name, [])),
            _sorted(self._following.get(name, [])),
        )


def path(name: str) -> str:
    """A page's place by its name alone: whatever the name, and the same after a rebuild."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    if plain != name:
        plain += "-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"topics/{plain.lstrip('-')}.html"


def _keep(kept: list[tuple[float, int, PairRow]], r: float, row: PairRow) -> None:
    """Of equal r the more important pair stays."""
    entry = (r, -row.rank, row)
    if len(kept) < MOST:
        heapq.heappush(kept, entry)
    else:
        heapq.heappushpop(kept, entry)


def _sorted(kept: list[tuple[float, int, PairRow]]) -> tuple[tuple[float, PairRow], ...]:
    best = sorted(kept, key=lambda entry: (-entry[0], -entry[1]))
    return tuple((r, row) for r, _, row in best)

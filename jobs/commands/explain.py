"""`nhd explain`: its arguments, and what it calls."""

from dataclasses import dataclass

import tyro


@dataclass(frozen=True)
class Explain:
    """One neuron, pair or concept of a fitted run, as a picture and as JSON."""

    run: str
    """The run folder, fitted."""
    neuron: tyro.conf.Positional[int | None] = None
    """A neuron, to be set beside its strongest heads."""
    pair: str | None = None
    """A head and a neuron: `3,118`."""
    concept: str | None = None
    """A text: its pairs, and the images that have most of it."""
    search: tuple[int, ...] | None = None
    """Find the neurons that their heads split most clearly, and draw the first N (5 by default)."""
    out: str | None = None
    """Where pictures and JSON go; `explain` in the run folder by default."""

    def __call__(self) -> None:
        from pipelines.errors import UsageError
        from pipelines.explain.explain import ExplainPlan, explain

        if self.search is not None and len(self.search) > 1:
            raise UsageError("--search takes one number, of how many cases to draw")
        count = None if self.search is None else (*self.search, 5)[0]
        found = explain(
            ExplainPlan(self.run, self.out, self.neuron, self.pair, self.concept, count)
        )
        for line in found.table:
            print(line)
        if found.missing:
            print(f"{found.missing} images could not be read again from their shards")
        for picture in found.pictures:
            print(f"{picture} (and .json)")

"""Mean ablation for many nested sets of kept units at once, each pair multiplied only once.

If the sets grow, the embedding of a larger one is that of the smaller one plus what the units
between them add. So a ranking of the units is cut into parts, and running totals over the parts
are the embeddings of all sets (arXiv 2509.19943; nhd_ops/README.md, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nhd_ops.contributions import Directions

Unit = Literal["pairs", "neurons", "heads"]


class Part(NamedTuple):
    """The pairs that one set of kept units has and the next smaller one has not."""

    heads: Tensor
    """[h] int64, the heads that have any."""
    pairs: Tensor
    """[h,L] int64, head·C + neuron; each head's first, then others as padding."""
    value: Tensor
    """[h,L,E], their columns of W_v; zero for padding."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """One ranking of units, cut into S nested sets of kept ones."""

    parts: tuple[Part, ...]
    output: Tensor
    """[H,D,E], W_o."""

    def shifts(self, centred: Tensor) -> Tensor:
        """How far each set's embeddings are from the mean embedding.

        Args:
            centred: [B,H,C], s - s̄, of which units outside the set count as zero.
        Returns:
            [S,B,D].
        """
        flat = centred.flatten(1)
        return torch.stack([self._added(part, flat) for part in self.parts]).cumsum(0)

    def _added(self, part: Part, flat: Tensor) -> Tensor:
        chosen = flat[:, part.pairs.flatten()].view(len(flat), *part.pairs.shape)  # [B,h,L]
        values = chosen.transpose(0, 1) @ part.value  # [h,B,E]
        return torch.einsum("hbe,hde->bd", values, self.output[part.heads])


def ablation_of(directions: Directions, rank: Tensor, sizes: Sequence[int]) -> Ablation:
    """Cut a ranking into the sets of its first `sizes[0]`, `sizes[1]`, ... units.

    Args:
        rank: [H,C] int64, the place in the ranking of the unit that each pair belongs to, 0 for
            the most important; see `ranks`.
        sizes: how many units each set keeps; ascending.
    Raises:
        ValueError: the sizes do not ascend.
    """
    if list(sizes) != sorted(sizes):
        raise ValueError(f"The sizes {list(sizes)} do not ascend: sets of kept units must nest.")
    starts = [0, *sizes][: len(sizes)]
    parts = [
        _part(directions, (rank >= start) & (rank < end))
        for start, end in zip(starts, sizes, strict=True)
    ]
    return Ablation(tuple(parts), directions.output)


def ranks(order: Tensor, unit: Unit, heads: int, neurons: int) -> Tensor:
    """The place of every pair's unit in a ranking: order [U] (best first) → [H,C] int64."""
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)).to(order))
    if unit == "pairs":
        return place.view(heads, neurons)
    return (place[:, None] if unit == "heads" else place).expand(heads, neurons)


def _part(directions: Directions, member: Tensor) -> Part:
    """member: [H,C] bool."""
    counts = member.sum(1)
    heads = counts.nonzero().squeeze(1)
    longest = int(counts.max())
    # Stable, so that a head's own neurons come first, in order.
    columns = (~member[heads]).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]  # [h,L]
    own = member[heads].gather(1, columns)
    value = directions.value[heads].mT.take_along_dim(columns[..., None], dim=1)  # [h,L,E]
    return Part(heads, heads[:, None] * directions.neurons + columns, value * own[..., None])

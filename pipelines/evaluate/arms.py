"""The experiments as functions of the centred coefficients; all of them see the same batch.

Every setting is linear in s - s̄, so each is a fixed map to shifts from the mean embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nhd_ops.ablation import Unit, ablation_of, ranks
from nhd_ops.contributions import Directions
from nhd_ops.low_rank import head_projections, neuron_projections
from pipelines.evaluate.design import Design, Setting

Shifts = Callable[[Tensor], Tensor]


class Arm(NamedTuple):
    """Settings that share their work."""

    settings: list[Setting]
    shifts: Shifts
    """s - s̄ [B,H,C] → [S,B,D]."""


def ranking_name(unit: Unit, seed: int | None) -> str:
    """The tensor that holds an order of units."""
    return f"order/{unit}/{'importance' if seed is None else seed}"


def arms_of(
    design: Design, directions: Directions, tables: Mapping[str, Tensor], texts: Sequence[Tensor]
) -> list[Arm]:
    """All arms of a design; `tables` and `texts` are what `pipelines.evaluate.setup` makes.

    Args:
        texts: blocks [S,p,D] of pairs' projections on their words, none for no codes.
    """
    rank = [
        Arm(design.rank("pairs"), partial(_scaled, directions, tables["pairs/scale"])),
        Arm(design.rank("neurons"), _cumulative_neurons(design, directions, tables)),
        Arm(design.rank("heads"), _cumulative_heads(design, directions, tables)),
    ]
    ablation = [
        Arm(design.ablation(*ranking), _ablation(design, directions, tables, *ranking))
        for ranking in design.rankings()
    ]
    if not design.atoms:
        return [*rank, *ablation]
    neurons = neuron_projections(directions, tables["neurons/text"].transpose(0, 1))
    return [
        *rank,
        *ablation,
        Arm(design.text("pairs"), partial(_texts, list(texts))),
        Arm(design.text("neurons"), neurons.shifts),
    ]


def _scaled(directions: Directions, scale: Tensor, centred: Tensor) -> Tensor:
    values = directions.head_values(centred * scale)
    return torch.einsum("bhe,hde->bd", values, directions.output)[None]


def _cumulative_neurons(
    design: Design, directions: Directions, tables: Mapping[str, Tensor]
) -> Shifts:
    found = neuron_projections(directions, tables["neurons/components"])
    return partial(_running, found.shifts, design.unit_ranks("neurons"))


def _cumulative_heads(
    design: Design, directions: Directions, tables: Mapping[str, Tensor]
) -> Shifts:
    found = head_projections(directions, tables["heads/components"])
    return partial(_running, found.shifts, design.unit_ranks("heads"))


def _running(shifts: Shifts, ks: tuple[int, ...], centred: Tensor) -> Tensor:
    """The first k components together, for each k."""
    return shifts(centred).cumsum(0)[[k - 1 for k in ks]]


def _ablation(
    design: Design,
    directions: Directions,
    tables: Mapping[str, Tensor],
    unit: Unit,
    seed: int | None,
) -> Shifts:
    order = tables[ranking_name(unit, seed)].long()
    rank = ranks(order, unit, design.heads, design.neurons)
    return ablation_of(directions, rank, list(design.sizes(unit))).shifts


def _texts(blocks: list[Tensor], centred: Tensor) -> Tensor:
    flat = centred.flatten(1)
    total: Tensor | None = None
    for part, block in zip(flat.split([b.shape[1] for b in blocks], 1), blocks, strict=True):
        found = part @ block  # [S,B,D]
        total = found if total is None else total + found
    assert total is not None
    return total

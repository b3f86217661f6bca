"""What an evaluation needs before the first image, made once and kept in `<out>/setup/`.

The longest part is matching pursuit of all pairs. It is done in blocks that are files of their
own, so that an interrupted evaluation goes on where it was.
"""

from typing import NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from nhd_ops import components, low_rank
from nhd_ops.contributions import Directions
from nhd_ops.geometry import Geometry
from nhd_ops.moments import Moments
from nhd_ops.prefix_codes import prefix_projections
from nhd_ops.sparse_code import omp
from pipelines.evaluate.arms import ranking_name
from pipelines.evaluate.design import Design
from pipelines.io.files import atomic_write
from pipelines.io.store import Run
from pipelines.run.cluster import parallel

BLOCK = 8192  # pairs per task and file
SCALES_AT_ONCE = 8192
TABLES = "tables.safetensors"


class Source(NamedTuple):
    """What the tables are made from."""

    moments: Moments
    geometry: Geometry
    atoms: Tensor | None
    """[K,D], the dictionary; none for no codes."""
    texts: Tensor
    """[Q,D], unit embeddings of the classes."""


class _Shared(NamedTuple):
    """What every block of pairs needs."""

    out: str
    directions: Directions
    atoms: Tensor
    sizes: tuple[int, ...]


def is_ready(out: Run) -> bool:
    """Has all been written?"""
    return out.exists("setup", TABLES)


def prepare(out: Run, design: Design, source: Source, in_process: bool) -> None:
    """Write what is not there yet; safe to repeat."""
    if source.atoms is not None:
        shared = _Shared(out.url, source.geometry.directions, source.atoms, design.atoms)
        parallel(_text_block, _missing(out, design), shared, in_process)
    tables = _tables(design, source)
    atomic_write(out.at("setup", TABLES), save({k: v.contiguous() for k, v in tables.items()}))


def read_tables(out: Run, device: str) -> dict[str, Tensor]:
    """The tables, on a device."""
    return {name: part.to(device) for name, part in load(out.read("setup", TABLES)).items()}


def read_texts(out: Run, design: Design, device: str) -> list[Tensor]:
    """Pairs projected on their words, in blocks [S,p,D]: 4·S·P·D bytes in all."""
    names = [_block_name(start) for start in _starts(design)] if design.atoms else []
    return [load(out.read("setup", name))["projections"].to(device) for name in names]


def _starts(design: Design) -> range:
    return range(0, design.units("pairs"), BLOCK)


def _block_name(start: int) -> str:
    return f"pairs-{start:07d}.safetensors"


def _missing(out: Run, design: Design) -> list[tuple[int, int]]:
    there = set(out.names("setup"))
    pairs = design.units("pairs")
    return [(s, min(s + BLOCK, pairs)) for s in _starts(design) if _block_name(s) not in there]


def _text_block(shared: _Shared, block: tuple[int, int]) -> None:
    """The pairs' own directions, not their components: signs change neither code nor projection."""
    vectors = shared.directions.vectors(torch.arange(*block))
    lengths = vectors.norm(dim=1, keepdim=True)
    unit = vectors / torch.where(lengths > 0, lengths, 1)
    found = lengths * _prefixes(unit, shared.atoms, shared.sizes)
    data = save({"projections": found.contiguous()})
    atomic_write(Run(shared.out).at("setup", _block_name(block[0])), data)


def _prefixes(unit: Tensor, atoms: Tensor, sizes: tuple[int, ...]) -> Tensor:
    return prefix_projections(unit, atoms, omp(unit, atoms, sizes[-1]).indices, sizes)


def _tables(design: Design, source: Source) -> dict[str, Tensor]:
    geometry, moments = source.geometry, source.moments
    neurons, heads = _neurons(design, moments, geometry), _heads(design, moments, geometry)
    tables = {
        "mean": moments.pairs.mean.float(),
        "classes": source.texts,
        "pairs/scale": _scales(geometry.directions, moments),
        "neurons/components": neurons,
        "heads/components": heads,
        **_orders(design, moments, geometry),
    }
    if source.atoms is not None:
        found = _prefixes(neurons[:, 0], source.atoms, design.atoms)  # [S,C,D]
        tables["neurons/text"] = torch.nn.functional.normalize(found, dim=2)
    return tables


def _scales(directions: Directions, moments: Moments) -> Tensor:
    signs = components.signs(moments)
    blocks = torch.split(torch.arange(directions.pairs), SCALES_AT_ONCE)
    scales = [
        low_rank.pair_scales(directions, components.pair_components(directions, b, signs), b)
        for b in blocks
    ]
    return torch.cat(scales).view(directions.heads, directions.neurons)


def _neurons(design: Design, moments: Moments, geometry: Geometry) -> Tensor:
    """[C,K,D], fitted on all images."""
    k = max(design.unit_ranks("neurons"), default=1)
    blocks = torch.split(torch.arange(design.neurons), 256)
    found = []
    for block in blocks:
        covariance = moments.neurons.comoment[block] / moments.count
        weights = components.neuron_components(covariance, geometry.neuron_gram[block], k).weights
        found.append(components.neuron_directions(geometry.directions, block, weights))
    return torch.cat(found)


def _heads(design: Design, moments: Moments, geometry: Geometry) -> Tensor:
    """[H,K,D], fitted on all images."""
    k = max(design.unit_ranks("heads"), default=1)
    weights = components.head_components(moments.heads.covariance(), geometry.head_gram, k).weights
    return components.head_directions(geometry.directions, weights)


def _orders(design: Design, moments: Moments, geometry: Geometry) -> dict[str, Tensor]:
    """Units from the most important on, and at random."""
    importance = {
        "pairs": components.importance(moments, geometry.norms).flatten(),
        "neurons": components.unit_importance(moments.neurons, geometry.neuron_gram),
        "heads": components.unit_importance(moments.heads, geometry.head_gram),
    }
    orders = {}
    for unit, seed in design.rankings():
        if seed is None:
            order = importance[unit].argsort(descending=True, stable=True)
        else:
            order = torch.randperm(
                design.units(unit), generator=torch.Generator().manual_seed(seed)
            )
        orders[ranking_name(unit, seed)] = order.int()
    return orders

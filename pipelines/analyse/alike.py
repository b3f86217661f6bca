"""How alike the images are that pairs and neurons fire on, by one definition for both.

The images of a unit are the EXEMPLARS of largest norm of its contribution. Norms are not centred:
of a neuron's, one pass keeps no others, and of a pair's the same follow from its extremes.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from nhd_ops import components
from nhd_ops.geometry import Geometry
from nhd_ops.moments import Moments
from nhd_ops.polysemanticity import Alikeness, alikeness, share_below
from pipelines.analyse.exemplars import Images, exemplar_images
from pipelines.io.store import Run

EXEMPLARS = 10
UNITS_AT_ONCE = 4096
VARIES = 1e-6  # of the most varying neuron's variance; below, a neuron counts as dead


class Alike(NamedTuple):
    """The three measures of all pairs and neurons, with what they should be read by."""

    pairs: Alikeness
    """Each [H,C]."""
    neurons: Alikeness
    """Each [C]."""
    importance: Tensor
    """[H,C] fp64, of the pairs."""
    neuron_importance: Tensor
    """[C] fp64; see `components.unit_importance`."""
    alive: Tensor
    """[C] bool: neurons whose contribution varies over the images."""


def alike_units(run: Run, moments: Moments, geometry: Geometry, centred: bool = False) -> Alike:
    """Measure every pair and neuron on the run's own embeddings.

    `centred` takes images by ‖r - r̄‖ instead; for neurons only among the 50 of largest norm.
    """
    k = min(EXEMPLARS, moments.count)
    pairs = components.top_images(moments, k, centred).ids  # [P,k]
    gram = geometry.neuron_gram
    neurons, _ = components.unit_top_images(moments.neurons, gram, k, centred)  # [C,k]
    images = exemplar_images(run, torch.cat([pairs, neurons]))
    shape = moments.pairs.mean.shape
    return Alike(
        Alikeness(*(part.view(shape) for part in _measured(images, pairs))),
        _measured(images, neurons),
        components.importance(moments, geometry.norms),
        components.unit_importance(moments.neurons, gram),
        _alive(moments, geometry),
    )


def alike_table(found: Alike) -> pa.Table:
    """One row per pair, then one per neuron, with the share of its pairs of lower inertia."""
    heads, neurons = found.importance.shape
    pairs, count = heads * neurons, neurons
    alive = found.alive[None].expand(heads, -1)
    below = share_below(found.pairs.inertia, found.neurons.inertia, alive)
    nothing, every = pa.nulls(pairs, pa.float64()), np.arange(neurons, dtype=np.int32)
    columns = {
        "unit": pa.array(["pair"] * pairs + ["neuron"] * count),
        "pair": pa.chunked_array([np.arange(pairs, dtype=np.int32), pa.nulls(count, pa.int32())]),
        "neuron": np.concatenate([np.tile(every, heads), every]),
        "alive": torch.cat([alive.flatten(), found.alive]).numpy(),
        **{
            name: torch.cat([pair.flatten(), own]).float().numpy()
            for name, pair, own in zip(Alikeness._fields, found.pairs, found.neurons, strict=True)
        },
        "pairs_below": pa.chunked_array([nothing, pa.array(below.numpy(), from_pandas=True)]),
    }
    return pa.table(columns)


def _measured(images: Images, ids: Tensor) -> Alikeness:
    blocks = [
        torch.stack(alikeness(images.embeddings[torch.from_numpy(images.places(block))]))
        for block in torch.split(ids, UNITS_AT_ONCE)
    ]  # from [u,k,D] to [3,u] each
    return Alikeness(*torch.cat(blocks, dim=1))


def _alive(moments: Moments, geometry: Geometry) -> Tensor:
    variance = (moments.neurons.covariance() * geometry.neuron_gram).sum((1, 2))  # [C]
    return variance > VARIES * variance.max()

"""The tables of a fit, one function each, from tensors to Arrow."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops import components, polysemanticity
from nhd_ops.contributions import Directions
from nhd_ops.geometry import Geometry
from nhd_ops.labels import point_biserial
from nhd_ops.moments import Moments
from pipelines.analyse.exemplars import Images

EXEMPLARS = 10
WORDS_SHOWN = 5
PAIRS_AT_ONCE = 4096


class Dictionary(NamedTuple):
    """Words and their atoms [K,D]."""

    words: list[str]
    atoms: Tensor


def unit_table(
    unit: str, fitted: tuple[Tensor, components.Components], dictionary: Dictionary
) -> pa.Table:
    """One row per unit and component: explained variance, direction [D], the nearest words."""
    vectors, found = fitted  # [U,k,D]
    units, k, _ = vectors.shape
    flat = vectors.flatten(0, 1).float()
    return pa.table(
        {
            unit: pa.array(np.repeat(np.arange(units, dtype=np.int32), k)),
            "rank": pa.array(np.tile(np.arange(k, dtype=np.int32), units)),
            "explained_variance_ratio": found.explained_variance_ratio.flatten().numpy(),
            "direction": _lists(pa.array(flat.flatten().numpy()), flat.shape[1]),
            "words": names(nearest_words(flat, dictionary.atoms), dictionary),
        }
    )


def nearest_words(vectors: Tensor, atoms: Tensor) -> Tensor:
    """The WORDS_SHOWN atoms of largest cosine with each direction: [N,D], [K,D] → [N,k]."""
    blocks = torch.split(vectors, PAIRS_AT_ONCE)
    k, atoms = min(WORDS_SHOWN, len(atoms)), normalize(atoms, dim=1)
    return torch.cat([(block @ atoms.T).topk(k, dim=1).indices for block in blocks])


def nearest_words_of_pairs(directions: Directions, signs: Tensor, atoms: Tensor) -> Tensor:
    """`nearest_words` of the signed directions of all pairs: [H,C], [K,D] → [H·C,k].

    Through the factors, head by head, which takes D/E times fewer products (12 on RN50x16).
    """
    k, atoms = min(WORDS_SHOWN, len(atoms)), normalize(atoms, dim=1)
    found = []
    for value, output, sign in zip(directions.value, directions.output, signs, strict=True):
        projected = (value.T * sign[:, None]) @ (output.T @ atoms.T)  # [C,K]
        found.append(projected.topk(k, dim=1).indices)
    return torch.cat(found)


def names(indices: Tensor, dictionary: Dictionary) -> pa.ListArray:
    """Word indices [N,k] as N lists of words."""
    return _lists(_words(indices.flatten(), dictionary), indices.shape[1])


def _words(indices: Tensor, dictionary: Dictionary) -> pa.Array:
    """[N] as words; gathered by Arrow, as a list of Python strings would weigh a gigabyte."""
    return pa.array(dictionary.words, pa.string()).take(pa.array(indices.numpy()))


def _lists(flat: pa.Array, length: int) -> pa.ListArray:
    """Lists of one length, laid end to end."""
    offsets = np.arange(0, len(flat) + 1, length, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def code_table(indices: Tensor, coefficients: Tensor, dictionary: Dictionary) -> pa.Table:
    """One row per pair and atom of its sparse code, in order of selection."""
    pair, rank = (indices >= 0).nonzero(as_tuple=True)
    return pa.table(
        {
            "pair": pair.int().numpy(),
            "rank": rank.int().numpy(),
            "word": _words(indices[pair, rank], dictionary),
            "coefficient": coefficients[pair, rank].float().numpy(),
        }
    )


def exemplar_table(
    top: components.TopImages, moments: Moments, geometry: Geometry, images: Images
) -> pa.Table:
    """The EXEMPLARS images of largest centred norm of every pair, with the signed s·‖u‖."""
    ids, deviations = (part[:, :EXEMPLARS] for part in top)
    pairs, k = ids.shape
    values = deviations + moments.pairs.mean.flatten()[:, None]
    values = values * geometry.norms.flatten()[:, None]
    places = images.places(ids).ravel()
    return pa.table(
        {
            "pair": np.repeat(np.arange(pairs, dtype=np.int32), k),
            "rank": np.tile(np.arange(k, dtype=np.int32), pairs),
            "shard": pa.array(images.shards).take(pa.array(places)),
            "key": pa.array(images.keys).take(pa.array(places)),
            "coefficient": values.flatten().float().numpy(),
        }
    )


def pair_table(
    moments: Moments,
    geometry: Geometry,
    signs: Tensor,
    words: pa.ListArray,
    top: components.TopImages,
    images: Images,
    labels: list[str],
) -> pa.Table:
    """One row per pair; `top` are its images of largest centred norm, `images` the exemplars."""
    heads, neurons = signs.shape
    inertia, clarity, spread = _alikeness(images, top.ids[:, :EXEMPLARS])
    importance = components.importance(moments, geometry.norms, top)
    columns: dict[str, Any] = {
        "pair": np.arange(heads * neurons, dtype=np.int32),
        "head": np.repeat(np.arange(heads, dtype=np.int32), neurons),
        "neuron": np.tile(np.arange(neurons, dtype=np.int32), heads),
        "sign": signs.flatten().to(torch.int32).numpy(),
        "direction_norm": geometry.norms.flatten().numpy(),
        "mean": moments.pairs.mean.flatten().float().numpy(),
        "std": moments.pairs.variance().sqrt().flatten().float().numpy(),
        "importance": importance.flatten().float().numpy(),
        "inertia": inertia,
        "clarity": clarity,
        "polysemanticity": spread,
        "words": words,
    }
    correlations = point_biserial(moments).flatten(1).float().numpy()  # [L,P]
    columns |= {f"r_{name}": correlations[i] for i, name in enumerate(labels)}
    return pa.table(columns)


def _alikeness(images: Images, ids: Tensor) -> tuple[np.ndarray, ...]:
    """Inertia, clarity and polysemanticity of every pair's exemplars [P,k], in blocks of pairs."""
    blocks = [
        torch.stack(polysemanticity.alikeness(images.embeddings[torch.from_numpy(places)]))
        for places in map(images.places, torch.split(ids, PAIRS_AT_ONCE))
    ]  # from [p,k,D] to [3,p] each
    return tuple(torch.cat(blocks, dim=1).numpy())

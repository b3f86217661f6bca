"""Segmentation the slow way: one token, head, class and pair at a time, everything materialised.

Letters as in `nhd_ops.token_maps`; float64. The fast twins are in `nhd_ops.segment` and
`nhd_ops.token_maps`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests import reference


def top_pairs(attnpool, texts: Tensor, k: int) -> list[list[tuple[int, int]]]:
    """Of each class the k pairs (head, neuron) of largest cosine with its text, by sorting."""
    vectors = torch.nn.functional.normalize(reference.direction_vectors(attnpool), dim=-1)
    heads, neurons, _ = vectors.shape
    everyone = [(h, n) for h in range(heads) for n in range(neurons)]
    chosen = []
    for text in texts:
        cosines = {(h, n): float((vectors[h, n] @ text).float()) for h, n in everyone}
        chosen.append(sorted(everyone, key=lambda pair: (-cosines[pair], pair))[:k])
    return chosen


def repaired(grid: Tensor) -> Tensor:
    """The bottom-right of a grid [rows,columns,D] by the mean of its three neighbours."""
    rows, columns = grid.shape[:2]
    last, right = rows - 1, columns - 1
    copy = grid.clone()
    copy[last, right] = (
        grid[last, right - 1] + grid[last - 1, right] + grid[last - 1, right - 1]
    ) / 3
    return copy


def head_vectors(attnpool, features: Tensor) -> Tensor:
    """c [B,H,rows,columns,D] = a W_o (W_v z + b_v) + b_o/(T·H), token by token."""
    weights, tokens = reference.attention(attnpool, features)
    images, count, neurons = tokens.shape
    heads, width = attnpool.num_heads, attnpool.c_proj.weight.shape[0]
    rows, columns = features.shape[2:]
    cut = neurons // heads
    c = torch.zeros(images, heads, count - 1, width, dtype=features.dtype)
    for head in range(heads):
        part = slice(head * cut, (head + 1) * cut)
        for image in range(images):
            for token in range(1, count):
                value = attnpool.v_proj(tokens[image, token])[part]
                moved = attnpool.c_proj.weight[:, part] @ (weights[image, head, 0, token] * value)
                c[image, head, token - 1] = moved + attnpool.c_proj.bias / (count * heads)
    return c.view(images, heads, rows, columns, width).detach()


def maps(attnpool, features: Tensor, texts: Tensor, repair: bool) -> tuple[Tensor, Tensor]:
    """Z [B,C,N] and L [B,H,N,P] of every token, its sink repaired or not."""
    neurons = features.permute(0, 2, 3, 1)  # [B,rows,columns,C]
    heads = head_vectors(attnpool, features)
    if repair:
        neurons = torch.stack([repaired(grid) for grid in neurons])
        heads = torch.stack([torch.stack([repaired(grid) for grid in image]) for image in heads])
    cosines = torch.cosine_similarity(heads.flatten(2, 3)[..., None, :], texts, dim=-1)
    return neurons.flatten(1, 2).mT, cosines


def by_pairs(
    attnpool, features: Tensor, texts: Tensor, k: int, repair: bool, method: str = "product"
) -> Tensor:
    """The gather form of product, neurons or heads: for each class a loop over its pairs."""
    neurons, heads = maps(attnpool, features, texts, repair)
    logits = []
    for p, pairs in enumerate(top_pairs(attnpool, texts, k)):
        total = torch.zeros_like(neurons[:, 0])  # [B,N]
        for h, n in pairs:
            neuron = neurons[:, n] if method != "heads" else 1
            head = heads[:, h, :, p] if method != "neurons" else 1
            total += neuron * head
        logits.append(total / k)
    return torch.stack(logits, 1)  # [B,P,N]


def maskclip(attnpool, features: Tensor, texts: Tensor, repair: bool) -> Tensor:
    """Every token through values and output, and its cosines with the texts: [B,P,N]."""
    _, tokens = reference.attention(attnpool, features)
    return _cosines(attnpool, attnpool.v_proj(tokens[:, 1:]), features, texts, repair)


def self_self(attnpool, features: Tensor, texts: Tensor, repair: bool) -> Tensor:
    """As `maskclip`, with values mixed by query-query and key-key attention, head by head."""
    _, tokens = reference.attention(attnpool, features)
    value = attnpool.v_proj(tokens)
    mixed = []
    for parts in zip(
        *(
            layer(tokens).chunk(attnpool.num_heads, -1)
            for layer in (attnpool.q_proj, attnpool.k_proj)
        ),
        value.chunk(attnpool.num_heads, -1),
        strict=True,
    ):
        query, key, own = parts
        scale = query.shape[-1] ** 0.5
        weights = (query @ query.mT / scale).softmax(-1) + (key @ key.mT / scale).softmax(-1)
        mixed.append((weights @ own)[:, 1:])
    return _cosines(attnpool, torch.cat(mixed, -1), features, texts, repair)


def _cosines(attnpool, values: Tensor, features: Tensor, texts: Tensor, repair: bool) -> Tensor:
    if repair:
        grids = values.unflatten(1, features.shape[2:])
        values = torch.stack([repaired(grid) for grid in grids]).flatten(1, 2)
    embedded = attnpool.c_proj(values)
    return torch.cosine_similarity(embedded[:, None], texts[:, None], dim=-1).detach()


def mosaic(logits: Tensor, tops: list[int], lefts: list[int], window: int, scene: tuple[int, int]):
    """Windows [B,P,g,g] in rows, resized to pixels, added up and divided by how many lie there."""
    total = torch.zeros(logits.shape[1], *scene, dtype=logits.dtype)
    count = torch.zeros(scene, dtype=logits.dtype)
    places = [(top, left) for top in tops for left in lefts]
    for one, (top, left) in zip(logits, places, strict=True):
        pixels = torch.nn.functional.interpolate(one[None], (window, window), mode="bilinear")[0]
        total[:, top : top + window, left : left + window] += pixels
        count[top : top + window, left : left + window] += 1
    return total / count

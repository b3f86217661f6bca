"""Slow, literal twins of the fast code: everything materialised, looped over, or taken by SVD.

Letters as in `nhd_ops.contributions`. All of it runs in float64 unless said otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from nhd_ops.histogram import EDGES


def attention(attnpool, features: Tensor) -> tuple[Tensor, Tensor]:
    """Stock multi-head attention, every projection of every token: weights [B,H,T,T], z [B,T,C]."""
    grid = features.flatten(2).permute(0, 2, 1)  # [B,g²,C]
    tokens = torch.cat([grid.mean(1, keepdim=True), grid], 1) + attnpool.positional_embedding
    heads = attnpool.num_heads
    query, key = attnpool.q_proj(tokens), attnpool.k_proj(tokens)  # [B,T,C]
    width = query.shape[-1] // heads
    weights = []
    for head in range(heads):
        cut = slice(head * width, (head + 1) * width)
        logits = query[..., cut] @ key[..., cut].transpose(1, 2) / math.sqrt(width)
        weights.append(logits.softmax(-1))
    return torch.stack(weights, 1), tokens


def direction_vectors(attnpool) -> Tensor:
    """u [H,C,D], one pair at a time."""
    heads, (width, neurons) = attnpool.num_heads, attnpool.c_proj.weight.shape
    cut = neurons // heads
    vectors = torch.zeros(heads, neurons, width, dtype=attnpool.c_proj.weight.dtype)
    for head in range(heads):
        rows = slice(head * cut, (head + 1) * cut)
        for neuron in range(neurons):
            value = attnpool.v_proj.weight[rows, neuron]
            vectors[head, neuron] = attnpool.c_proj.weight[:, rows] @ value
    return vectors.detach()


def contributions(attnpool, features: Tensor, bias_share: bool = False) -> Tensor:
    """The paper's r [B,H,C,D], materialised; optionally with its share of the biases."""
    weights, tokens = attention(attnpool, features)
    vectors = direction_vectors(attnpool)
    r = torch.einsum("bht,btc,hcd->bhcd", weights[:, :, 0], tokens, vectors)
    if bias_share:
        r = r + bias_shares(attnpool)[:, None]
    return r.detach()


def bias_shares(attnpool) -> Tensor:
    """W_o^h b_v^h / C + b_o / (C·H): [H,D]."""
    heads, neurons = attnpool.num_heads, attnpool.c_proj.weight.shape[1]
    output = attnpool.c_proj.weight.split(neurons // heads, dim=1)
    bias = attnpool.v_proj.bias.split(neurons // heads)
    shares = [o @ b / neurons for o, b in zip(output, bias, strict=True)]
    return (torch.stack(shares) + attnpool.c_proj.bias / (neurons * heads)).detach()


def materialise(directions) -> Tensor:
    """u [H,C,D] of factored directions."""
    return torch.einsum("hec,hde->hcd", directions.value, directions.output)


def bin_of(value: float) -> int:
    """The histogram bin, by comparing with every edge."""
    return sum(edge <= value if edge >= 0 else edge < value for edge in EDGES)


def co_moments(rows: Tensor, columns: Tensor) -> Tensor:
    """Σ (x - x̄)(y - ȳ)ᵀ, image by image in float64: [B,V], [B,W] → [V,W]."""
    rows, columns = rows.double(), columns.double()
    total = torch.zeros(rows.shape[1], columns.shape[1], dtype=torch.float64)
    for x, y in zip(rows - rows.mean(0), columns - columns.mean(0), strict=True):
        total += torch.outer(x, y)
    return total


def best(values, ids, k: int) -> list[tuple[float, int]]:
    """The k largest (value, id), the lower id first in a tie, by sorting."""
    both = zip(values.tolist(), ids.tolist(), strict=True)
    return sorted(both, key=lambda pair: (-pair[0], pair[1]))[:k]


def pca(contributions: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """SVD of materialised contributions [B,D]: components [k,D], explained variance ratios [k]."""
    centred = contributions.double() - contributions.double().mean(0)
    _, singular, components = torch.linalg.svd(centred, full_matrices=False)
    return components[:k], (singular.square() / singular.square().sum())[:k]


def reconstruct(contributions: Tensor, components: Tensor) -> Tensor:
    """r̄ + Σ_k ⟨r - r̄, pc_k⟩ pc_k: [B,D] and orthonormal [k,D] → [B,D]."""
    mean = contributions.mean(0)
    return mean + (contributions - mean) @ components.T @ components


def sign(coefficients: Tensor) -> float:
    """The sign rule of arXiv 2509.19943 for one pair: [B] → ±1."""
    centred = coefficients - coefficients.mean()
    top = sorted(centred.tolist(), key=abs, reverse=True)[:50]
    return 1.0 if sum(x > 0 for x in top) > len(top) / 2 else -1.0


def omp(signal: np.ndarray, dictionary: np.ndarray, atoms: int) -> tuple[list[int], np.ndarray]:
    """Orthogonal matching pursuit of one signal, with a least-squares fit at every step."""
    chosen: list[int] = []
    residual, code = signal, np.zeros(0)
    for _ in range(atoms):
        correlations = np.abs(dictionary @ residual)
        correlations[chosen] = -1
        chosen.append(int(correlations.argmax()))
        code = np.linalg.lstsq(dictionary[chosen].T, signal, rcond=None)[0]
        residual = signal - dictionary[chosen].T @ code
    return chosen, code


def two_means(embeddings: Tensor) -> float:
    """1 - cosine of the best two centres, over every way to split [n,D] in two (n small)."""
    n = len(embeddings)
    cost, answer = math.inf, 0.0
    for code in range(1, 2 ** (n - 1)):
        member = torch.tensor([bool(code >> i & 1) for i in range(n)])
        sides = embeddings[member], embeddings[~member]
        spread = sum(float((side - side.mean(0)).square().sum()) for side in sides)
        if spread < cost - 1e-12:
            a, b = (side.mean(0) for side in sides)
            cost, answer = spread, 1 - float(torch.cosine_similarity(a, b, dim=0))
    return answer


def polysemanticity(embeddings: Tensor) -> float:
    """1 - cosine of the centres of 20 rounds of 2-means on [n,D], from the two least alike."""
    n = len(embeddings)
    pairs = [(float(embeddings[i] @ embeddings[j]), i, j) for i in range(n) for j in range(n)]
    centres = embeddings[list(min(pairs)[1:])]
    for _ in range(20):
        nearest = torch.cdist(embeddings, centres).argmin(1)
        means = [embeddings[nearest == k].mean(0) for k in range(2)]
        empty = [not bool((nearest == k).any()) for k in range(2)]
        centres = torch.stack([centres[k] if empty[k] else means[k] for k in range(2)])
    return 1 - float(torch.cosine_similarity(centres[0], centres[1], dim=0))


def mean_ablate(contributions: Tensor, keep: Tensor, offset: Tensor) -> Tensor:
    """Embeddings with every pair outside `keep` [H,C] at its mean: r [B,H,C,D] → [B,D]."""
    mean = contributions.mean(0)
    total = offset.expand(len(contributions), -1).clone()
    for head, neuron in np.ndindex(*keep.shape):
        kept = bool(keep[head, neuron])
        total += contributions[:, head, neuron] if kept else mean[head, neuron]
    return total


def project(contribution: Tensor, vector: Tensor) -> Tensor:
    """⟨r - r̄, pc⟩ pc of one unit: [B,D] and a unit vector [D] → [B,D]."""
    centred = contribution - contribution.mean(0)
    return torch.stack([torch.dot(row, vector) * vector for row in centred])


def prefix_projection(signal: Tensor, dictionary: Tensor, atoms: int) -> Tensor:
    """What a code of so many atoms, found on its own, rebuilds of a signal: [D]."""
    chosen, code = omp(signal.numpy(), dictionary.numpy(), atoms)
    return torch.from_numpy(dictionary.numpy()[chosen].T @ code)


def spatial_map(attnpool, features: Tensor, head: int, neuron: int) -> tuple[Tensor, Tensor]:
    """a^h_i z_i[n] of one pair, place by place: [B,g,g], and the term of token 0 [B]."""
    weights, tokens = attention(attnpool, features)
    images, grid = len(features), features.shape[-1]
    places = torch.zeros(images, grid, grid, dtype=features.dtype)
    for row in range(grid):
        for column in range(grid):
            token = 1 + row * grid + column
            places[:, row, column] = weights[:, head, 0, token] * tokens[:, token, neuron]
    return places.detach(), (weights[:, head, 0, 0] * tokens[:, 0, neuron]).detach()


def neuron_map(attnpool, features: Tensor, neuron: int) -> Tensor:
    """Each token's vector of the neuron, all heads summed, along the image's own sum: [B,T]."""
    weights, tokens = attention(attnpool, features)
    u = direction_vectors(attnpool)[:, neuron]  # [H,D]
    vectors = torch.einsum("bht,bt,hd->btd", weights[:, :, 0], tokens[..., neuron], u)
    whole = vectors.sum(1)  # [B,D]
    return torch.einsum("btd,bd->bt", vectors, whole / whole.norm(dim=1, keepdim=True)).detach()


def head_shares(contributions: Tensor) -> Tensor:
    """⟨r_h - r̄_h, c - c̄⟩ over the images, relative to ‖c - c̄‖²: r [B,H,D] → [H]."""
    centred = contributions - contributions.mean(0)
    whole = centred.sum(1)  # [B,D]
    return torch.einsum("bhd,bd->h", centred, whole) / whole.square().sum()

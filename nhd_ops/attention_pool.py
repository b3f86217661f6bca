"""Coefficients and directions of an open_clip ModifiedResNet, from its class query alone.

The embedding is token 0 of the attention pool, so keys and values need no projection per token:
the query is folded through W_k, and the attention weights the tokens themselves. The key bias
adds the same number to every logit and drops out of the softmax (nhd_ops/README.md, section 1).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from nhd_ops.contributions import Directions


class AttentionPool(Protocol):
    """What is used of `open_clip.modified_resnet.AttentionPool2d`."""

    positional_embedding: nn.Parameter
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    c_proj: nn.Linear
    num_heads: int


PARTS = ("positional_embedding", "q_proj", "k_proj", "v_proj", "c_proj", "num_heads")
TRUNK = ("stem", "layer1", "layer2", "layer3", "layer4")


def attention_pool_of(visual: nn.Module) -> AttentionPool:
    """The attention pool of a visual tower.

    Raises:
        TypeError: the tower is not a ModifiedResNet that ends in an attention pool.
    """
    pool = getattr(visual, "attnpool", None)
    whole = all(hasattr(visual, name) for name in TRUNK)
    if not whole or not all(hasattr(pool, name) for name in PARTS):
        raise TypeError(
            f"The visual tower is a {type(visual).__name__}, but neuron-head decomposition needs "
            "a ModifiedResNet with an attention pool: choose one of open_clip's RN models."
        )
    return pool  # type: ignore[return-value]


def directions_of(attnpool: AttentionPool) -> Directions:
    """Cut the pool's value and output projections into heads; views of its weights, detached."""
    heads = attnpool.num_heads
    width, neurons = attnpool.c_proj.weight.shape
    value = attnpool.v_proj.weight.detach().view(heads, -1, neurons)  # [H,E,C]
    output = attnpool.c_proj.weight.detach().view(width, heads, -1).permute(1, 0, 2)  # [H,D,E]
    value_bias = attnpool.v_proj.bias.detach().view(heads, -1)  # [H,E]
    through = torch.einsum("hde,he->d", output, value_bias)  # [D]
    return Directions(value, output, value_bias, through + attnpool.c_proj.bias.detach())


def feature_map(visual: nn.Module, images: Tensor) -> Tensor:
    """The trunk without the pool: preprocessed images [B,3,S,S] → Z [B,C,g,g], after ReLU.

    Raises:
        TypeError: the tower is not a ModifiedResNet that ends in an attention pool.
    """
    attention_pool_of(visual)
    return convolve(visual, images)


def convolve(visual: nn.Module, images: Tensor) -> Tensor:
    """What `feature_map` does, for a tower that is known to have the parts."""
    hidden = images
    for name in TRUNK:
        hidden = getattr(visual, name)(hidden)
    return hidden


def tokens_of(attnpool: AttentionPool, features: Tensor) -> Tensor:
    """z: the grid's mean, then the grid row by row, plus positions: Z [B,C,g,g] → [B,T,C].

    Raises:
        ValueError: the grid does not fit the positional embedding.
    """
    grid = features.flatten(2).mT  # [B,g²,C]
    positions = attnpool.positional_embedding.to(features.dtype)  # [T,C]
    if grid.shape[1] + 1 != positions.shape[0]:
        raise ValueError(
            f"The feature map has {grid.shape[1]} cells, but the model has positions for "
            f"{positions.shape[0] - 1}: resize the images to the model's input size."
        )
    return torch.cat([grid.mean(1, keepdim=True), grid], dim=1) + positions


def attention(attnpool: AttentionPool, tokens: Tensor) -> Tensor:
    """a^h = softmax(((W_q z_0 + b_q)^h W_k^h) z_i / √E): tokens [B,T,C] → [B,H,T]."""
    weight = attnpool.q_proj.weight.to(tokens.dtype)
    query = nn.functional.linear(tokens[:, 0], weight, attnpool.q_proj.bias.to(tokens.dtype))
    images, _, neurons = tokens.shape
    query = query.view(images, attnpool.num_heads, -1).transpose(0, 1)  # [H,B,E]
    keys = attnpool.k_proj.weight.to(tokens.dtype).view(attnpool.num_heads, -1, neurons)  # [H,E,C]
    folded = (query * query.shape[-1] ** -0.5) @ keys  # [H,B,C]
    logits: Tensor = folded.transpose(0, 1) @ tokens.mT  # [B,H,T]
    return logits.softmax(-1)


def coefficients(attnpool: AttentionPool, features: Tensor) -> Tensor:
    """s^h = Σ_i a^h_i z_i: the feature map Z [B,C,g,g] → [B,H,C], in the dtype of Z.

    Source: arXiv 2509.19943, section 3; nhd_ops/README.md, section 1. Weights of another dtype
    are cast to that of Z, so the trunk may run in half precision and the pool in fp32.
    """
    tokens = tokens_of(attnpool, features)
    return attention(attnpool, tokens) @ tokens

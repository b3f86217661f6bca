"""What every token of a grid says about every class: head by head, or through the whole pool.

Letters as in `contributions`; here N = T - 1, the tokens of the grid, and P classes.
A token's vector in head h is `c^h_i = W_o^h x^h_i + b_o/(T·H)` with `x^h_i = a^h_i (W_v^h z_i +
b_v^h)` (nhd_ops/README.md, section 7). It is affine in x [E], so averages of c are those of x, and
its cosine with a text needs x, `W_o^hᵀ t` and the head's Gram alone: c [..,H,N,D] is never made.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, normalize

from nhd_ops.attention_pool import AttentionPool, attention, tokens_of
from nhd_ops.contributions import Directions
from nhd_ops.sink import repair

TINY = 1e-30


class Window(NamedTuple):
    """The tokens of some windows, as all ways to segment use them."""

    tokens: Tensor
    """[B,T,C], z: with the class token and positions."""
    attention: Tensor
    """[B,H,T], a: of the class query."""
    values: Tensor
    """[B,H,T,E], W_v^h z_i + b_v^h."""
    rows: int
    columns: int


class HeadTexts(NamedTuple):
    """The class texts as the heads see them; from weights and texts only."""

    through: Tensor
    """[H,E,P], W_o^hᵀ t."""
    gram: Tensor
    """[H,E,E], W_o^hᵀ W_o^h."""
    bias_through: Tensor
    """[H,E,1], W_o^hᵀ b_o."""
    bias_text: Tensor
    """[P], ⟨b_o, t⟩."""
    bias_square: Tensor
    """[], ‖b_o‖²."""


def window_of(attnpool: AttentionPool, features: Tensor) -> Window:
    """Tokens, class attention and values of feature maps Z [B,C,rows,columns]."""
    tokens = tokens_of(attnpool, features)
    return Window(
        tokens,
        attention(attnpool, tokens),
        _heads(linear(tokens, attnpool.v_proj.weight, attnpool.v_proj.bias), attnpool.num_heads),
        *features.shape[2:],
    )


def head_texts(directions: Directions, output_bias: Tensor, texts: Tensor) -> HeadTexts:
    """What `head_maps` needs of the class texts [P,D] and the output bias b_o [D]."""
    output = directions.output
    return HeadTexts(
        output.mT @ texts.T,
        directions.head_gram(),
        (output.mT @ output_bias)[:, :, None],
        texts @ output_bias,
        output_bias.square().sum(),
    )


def head_maps(window: Window, texts: HeadTexts, sink_repair: bool = True) -> Tensor:
    """L^h_i(p) = cos(c^h_i, t_p): [H,B,N,P].

    The cosine would cancel the attention a^h_i, were it not for the share of b_o: where a is small,
    c points along b_o. That is the paper's definition, and is followed here.

    Args:
        sink_repair: take for c of the bottom-right token the mean of its neighbours'.
    """
    weighted = (window.attention[..., None] * window.values)[:, :, 1:]  # [B,H,N,E]
    if sink_repair:
        weighted = _repaired(weighted, window)
    images, heads, tokens, _ = weighted.shape
    share = 1 / ((tokens + 1) * heads)
    flat = weighted.transpose(0, 1).flatten(1, 2)  # [H,B·N,E]
    inner = flat @ texts.through + share * texts.bias_text  # [H,B·N,P]
    square = ((flat @ texts.gram) * flat).sum(-1, keepdim=True)  # [H,B·N,1]
    square = square + 2 * share * (flat @ texts.bias_through) + share**2 * texts.bias_square
    cosines: Tensor = inner / square.clamp_min(TINY).sqrt()
    return cosines.view(heads, images, tokens, -1)


def maskclip(
    attnpool: AttentionPool, window: Window, texts: Tensor, sink_repair: bool = True
) -> Tensor:
    """MaskCLIP: cos(W_o(W_v z_i + b_v) + b_o, t_p), the value path of every token: [B,P,N].

    Source: arXiv 2112.01071, section 3; z has its position, as in the pool. With `sink_repair` the
    bottom-right token's values are the mean of its neighbours'.
    """
    return _cosines(attnpool, window.values[:, :, 1:], window, texts, sink_repair)


def self_self(
    attnpool: AttentionPool, window: Window, texts: Tensor, sink_repair: bool = True
) -> Tensor:
    """Tokens mixed by softmax(QQᵀ/√E) + softmax(KKᵀ/√E) in place of QKᵀ: cosines [B,P,N].

    Source: arXiv 2312.01597, section 3. All T tokens are attended to, those of the grid are read.
    Both kinds of attention sum to one, so that values and their bias count twice and b_o once, as
    there.
    """
    scale = window.values.shape[-1] ** -0.5
    mixing = torch.zeros((), device=window.tokens.device)
    for layer in (attnpool.q_proj, attnpool.k_proj):
        own = _heads(linear(window.tokens, layer.weight, layer.bias), attnpool.num_heads)
        mixing = mixing + ((own * scale) @ own.mT).softmax(-1)[:, :, 1:]  # [B,H,N,T]
    return _cosines(attnpool, mixing @ window.values, window, texts, sink_repair)


def _cosines(
    attnpool: AttentionPool, values: Tensor, window: Window, texts: Tensor, sink_repair: bool
) -> Tensor:
    """Values [B,H,N,E] through the output projection, against unit texts [P,D]: [B,P,N]."""
    values = _repaired(values, window) if sink_repair else values
    flat = values.transpose(1, 2).flatten(2)  # [B,N,C]
    embedded = linear(flat, attnpool.c_proj.weight, attnpool.c_proj.bias)  # [B,N,D]
    cosines: Tensor = texts @ normalize(embedded, dim=-1).mT
    return cosines


def _repaired(vectors: Tensor, window: Window) -> Tensor:
    """[B,H,N,E] → the same, with the sink repaired."""
    images, heads, _, width = vectors.shape
    grid = vectors.reshape(images, heads, window.rows, window.columns, width)
    return repair(grid).flatten(2, 3)


def _heads(projected: Tensor, heads: int) -> Tensor:
    """[B,T,C] → [B,H,T,E]."""
    images, tokens, _ = projected.shape
    return projected.view(images, tokens, heads, -1).transpose(1, 2)

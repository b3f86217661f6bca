"""Logits of overlapping windows put together to one picture, as two matrix products.

Every window's grid of logits is resized to the window's pixels, overlaps are averaged, and the
result is resized to the picture's own size, all bilinearly. Each of these steps is linear and works
along rows and columns alike, so that the whole is `R X Cᵀ`, where X are the grids of all windows
side by side (nhd_ops/README.md, section 7). Some rows of R give that part of the picture alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side: every `stride` pixels, the last one flush with the end.

    Raises:
        ValueError: the side is shorter than the window, or the stride is below one pixel.
    """
    if length < window or stride < 1:
        raise ValueError(
            f"Windows of {window} pixels every {stride} do not fit a side of {length} pixels."
        )
    return [*range(0, length - window, stride), length - window]


def blend(
    begins: list[int], window: int, grid: int, length: int, out: int, taper: bool = False
) -> Tensor:
    """The weights with which a picture's pixels take the cells of all windows, along one side.

    Args:
        begins: where the windows begin on a side of `length` pixels; they cover all of it.
        window: pixels of a window, each of which has `grid` cells.
        out: pixels of the picture's own side.
        taper: let a window weigh less towards its edges, where it sees objects cut off: the weight
            falls linearly from its middle to nothing at its edge. By default all weigh the same.
    Returns:
        [out, windows·grid] fp32; each row sums to one.
    """
    middles = (torch.arange(window) + 0.5) / window  # of the pixels, in (0,1)
    weight = torch.minimum(middles, 1 - middles) if taper else torch.ones(window)
    resized = weight[:, None] * _resized(torch.eye(grid), window)  # [window,grid]
    laid = torch.zeros(length, len(begins), grid)
    for place, begin in enumerate(begins):
        laid[begin : begin + window, place] = resized
    averaged = laid.flatten(1) / laid.sum((1, 2))[:, None]
    return _resized(averaged, out) if out != length else averaged


def _resized(signals: Tensor, pixels: int) -> Tensor:
    """[cells,n] signals along one side → [pixels,n], bilinearly, corners not aligned."""
    return interpolate(signals.T[None], pixels, mode="linear", align_corners=False)[0].T

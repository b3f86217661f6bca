"""A map laid over the picture it belongs to."""

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor
from torch.nn.functional import interpolate

COLOURS = colormaps["inferno"]
STRONGEST = 0.8  # how much of the picture the largest heat covers


def heat_of(grid: Tensor, total: float) -> Tensor:
    """What adds to the total in its own direction, as parts of it: [g,g], at least 0."""
    return (grid / total).clamp_min(0) if total else torch.zeros_like(grid)


def enlarge(grid: Tensor, size: int) -> np.ndarray:
    """[g,g] → [size,size], bilinear, each cell's value at the middle of the pixels it covers."""
    large = interpolate(
        grid[None, None].float(), (size, size), mode="bilinear", align_corners=False
    )
    return large[0, 0].numpy()


def overlay(pixels: np.ndarray, heat: np.ndarray, most: float) -> np.ndarray:
    """The picture [S,S,3] under the heat [S,S]; `most` is the heat of full colour."""
    level = np.clip(heat / max(most, 1e-12), 0, 1)[..., None]
    grey = pixels.mean(-1, keepdims=True) * 0.55 + 60
    colour = COLOURS(0.15 + 0.8 * level[..., 0])[..., :3] * 255
    mixed: np.ndarray = grey * (1 - STRONGEST * level) + colour * STRONGEST * level
    return mixed.clip(0, 255).astype(np.uint8)

"""Small random stand-ins for a model: a pool, directions, coefficients with heavy tails."""

from __future__ import annotations

import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor

from nhd_ops.attention_pool import directions_of
from nhd_ops.contributions import Directions


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Give every weight, bias and running statistic a value that a mistake could not hide in."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.ndim > 1:
            fan_in = tensor[0].numel() if "positional" not in name else 1
            values = (noise - 0.5) * (12 / fan_in) ** 0.5
        elif name.endswith(("running_var",)) or (name.endswith("weight") and "bn" in name):
            values = 0.5 + noise
        else:
            values = noise - 0.5
        tensor.data.copy_(values)


def pool(grid: int = 3, neurons: int = 24, heads: int = 3, width: int = 10) -> AttentionPool2d:
    """A stock attention pool in float64, all biases non-zero."""
    attnpool = AttentionPool2d(grid, neurons, heads, width).double().eval()
    randomise(attnpool, seed=0)
    return attnpool


def features(images: int, grid: int = 3, neurons: int = 24, seed: int = 1) -> Tensor:
    """A feature map after ReLU: [B,C,g,g] float64, sparse and heavy-tailed."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, neurons, grid, grid)
    return torch.randn(shape, generator=generator, dtype=torch.float64).relu().pow(2)


def directions(**shape: int) -> Directions:
    """The directions of `pool`, float64."""
    return directions_of(pool(**shape))


def coefficients(images: int, heads: int = 3, neurons: int = 24, seed: int = 2) -> Tensor:
    """[B,H,C] float64 coefficients, correlated over heads, with a mean and heavy tails."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(images, 1, neurons, generator=generator, dtype=torch.float64)
    own = torch.randn(images, heads, neurons, generator=generator, dtype=torch.float64)
    return (shared + 0.5 * own).exp() - 0.3


def unit(rows: int, width: int, seed: int = 3) -> Tensor:
    """Random unit vectors [rows,width], float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(rows, width, generator=generator, dtype=torch.float64), dim=1
    )

"""The convolutions of a ModifiedResNet, made ready for inference: the same map, faster."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nhd_ops.attention_pool import attention_pool_of, convolve


class Trunk(nn.Module):
    """Images [B,3,S,S] → Z [B,C,g,g], as `attention_pool.feature_map` up to rounding.

    A copy of the tower's convolutions, in which batch norms are folded into them and memory is
    laid out channels last.

    Args:
        visual: the tower, in fp32; its batch norms are taken as in eval mode.
        dtype: of the convolutions.

    Raises:
        TypeError: the tower is not a ModifiedResNet that ends in an attention pool.
    """

    def __init__(self, visual: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        without_pool = {id(attention_pool_of(visual)): None}
        tower = copy.deepcopy(visual, without_pool).eval().requires_grad_(False)
        for module in list(tower.modules()):
            _fold(module)
        self.tower = tower.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Images of any floating type; the result has the trunk's."""
        ready = images.to(dtype=self.dtype, memory_format=torch.channels_last)
        return convolve(self.tower, ready)


def _fold(module: nn.Module) -> None:
    """Fold bn1 into conv1 and so on, and in a Sequential each norm into what comes before it."""
    couples = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
    if isinstance(module, nn.Sequential):
        couples = list(pairwise(module._modules))
    for first, second in couples:
        conv, norm = getattr(module, first, None), getattr(module, second, None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, first, fuse_conv_bn_eval(conv, norm))
            setattr(module, second, nn.Identity())

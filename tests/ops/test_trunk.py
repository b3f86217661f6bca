"""The trunk made ready for inference computes the tower's own feature map."""

import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet

from nhd_ops import attention_pool as ap
from nhd_ops.trunk import Trunk
from tests.ops import random_world


@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 1e-13), (torch.float32, 1e-6), (torch.bfloat16, 3e-2)]
)
@torch.inference_mode()
def test_it_agrees_with_the_tower_and_leaves_it_alone(dtype: torch.dtype, error: float) -> None:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    visual = ModifiedResNet((1, 2, 1, 1), 32, 4, 64, 8).eval().to(wide)
    random_world.randomise(visual, seed=4)
    before = {name: tensor.clone() for name, tensor in visual.state_dict().items()}
    trunk = Trunk(visual, dtype)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(5)).to(wide)
    expected, found = ap.feature_map(visual, images), trunk(images)
    assert found.dtype == dtype and found.shape == expected.shape
    assert float((found.to(wide) - expected).norm() / expected.norm()) < error
    kinds = {type(module).__name__ for module in trunk.modules()}
    assert "BatchNorm2d" not in kinds and "AttentionPool2d" not in kinds
    after = visual.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())

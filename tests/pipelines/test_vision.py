"""Workers start without what they never use, and whoever wants it later in the process has it."""

import subprocess
import sys

import pytest

UNUSED = "('torch._dynamo', 'torch._inductor', 'timm', 'transformers', 'sympy')"

LEAN = f"""
import sys
import pipelines.extract.worker
loaded = [name for name in {UNUSED} if name in sys.modules]
assert not loaded, loaded
import torch, torchvision
boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
assert torchvision.ops.roi_align(torch.rand(1, 3, 8, 8), boxes, 2).shape == (1, 3, 2, 2)
"""

LATER = """
import timm
assert timm.list_models("resnet18")
twice = torch.compile(lambda x: 2 * x, backend="eager")
assert twice(torch.ones(2)).tolist() == [2, 2]
from torchvision.ops.roi_align import is_compile_supported
from torch._dynamo.utils import is_compile_supported as real
assert is_compile_supported("cpu") == real("cpu")
"""

KEPT = """
import timm, torch._dynamo, sys
before = sys.modules["timm"], sys.modules["torch._dynamo"]
from pipelines.vision import open_clip
assert before == (sys.modules["timm"], sys.modules["torch._dynamo"])
from open_clip.timm_model import timm as seen
assert seen is before[0]
"""


def test_the_compiler_and_timm_are_not_loaded() -> None:
    subprocess.run([sys.executable, "-c", LEAN], check=True)


@pytest.mark.slow
def test_they_are_there_as_soon_as_somebody_asks() -> None:
    subprocess.run([sys.executable, "-c", LEAN + LATER], check=True)


@pytest.mark.slow
def test_what_was_loaded_before_stays() -> None:
    subprocess.run([sys.executable, "-c", KEPT], check=True)

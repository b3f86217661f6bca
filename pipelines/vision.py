"""What nhd uses of open_clip and torchvision, imported without what they load and nobody needs.

Importing them loads torch's compiler (torchvision for `roi_align`, timm for one decorator) and
every architecture of timm: half of the time that a worker takes to start, and 160 MB of its
memory. nhd decomposes open_clip's own ResNets only, so neither is ever called. Everything else
here imports the two libraries from this file.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import torch  # noqa: F401  (what stands in for its compiler must come after it)

COMPILER = ("torch._dynamo", "torch._dynamo.utils")
OPTIONAL = ("timm", "transformers")
"""Libraries that open_clip does without where they are not installed."""


@contextlib.contextmanager
def _lean() -> Iterator[None]:
    """While imports run, the compiler is a promise, and optional libraries seem not to be there.

    Whatever this process has loaded before stays as it is.
    """
    promised: dict[str, Any] = {name: _promise(name) for name in COMPILER}
    promised |= dict.fromkeys(OPTIONAL)
    missing = {name: value for name, value in promised.items() if name not in sys.modules}
    sys.modules.update(missing)
    try:
        yield
    finally:
        for name, value in missing.items():
            if name in sys.modules and sys.modules[name] is value:
                del sys.modules[name]


def _promise(name: str) -> types.ModuleType:
    """A module that becomes the real one when more is asked of it than to stand aside."""
    module = types.ModuleType(name)

    def real(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)  # asked for by the import system itself
        for promised in COMPILER:
            sys.modules.pop(promised, None)
        return getattr(importlib.import_module(name), attribute)

    known = {"disable": lambda function, *_, **__: function, "__getattr__": real}
    if name == "torch._dynamo.utils":
        known["is_compile_supported"] = _is_compile_supported
    vars(module).update(known)
    return module


def _is_compile_supported(device: Any) -> Any:
    """torch's own, loaded when torchvision asks."""
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device)


with _lean():
    import open_clip
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
    from open_clip.transform import (
        MaybeConvertMode,
        MaybeToTensor,
        PreprocessCfg,
        image_transform_v2,
    )
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
    from torchvision.transforms import CenterCrop, InterpolationMode, Normalize, Resize
    from torchvision.transforms import functional as pillow_ops
    from torchvision.transforms.v2 import functional as tensor_ops

__all__ = [
    "CLIP",
    "IMAGENET_CLASSNAMES",
    "OPENAI_DATASET_MEAN",
    "OPENAI_DATASET_STD",
    "OPENAI_IMAGENET_TEMPLATES",
    "CLIPTextCfg",
    "CLIPVisionCfg",
    "CenterCrop",
    "InterpolationMode",
    "MaybeConvertMode",
    "MaybeToTensor",
    "Normalize",
    "PreprocessCfg",
    "Resize",
    "image_transform_v2",
    "open_clip",
    "pillow_ops",
    "tensor_ops",
]

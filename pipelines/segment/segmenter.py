"""Segment whole scenes by class texts, without training: a picture in, maps of class ids out."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from nhd_ops import mosaic
from nhd_ops.trunk import Trunk
from pipelines.errors import UsageError
from pipelines.io.classes import Classes
from pipelines.models import LoadedModel
from pipelines.segment.options import Setting, View
from pipelines.segment.scorer import Scorer
from pipelines.vision import pillow_ops

STRIP_VALUES = 2**22
"""How many logits are held at a time at the size of the scene."""
LONGEST = 2**15
"""Pixels of a scene's longer side, resized. Weights along it take memory as its square does."""


@dataclass(frozen=True)
class Grids:
    """The logits of all windows of a scene, side by side, and how they make up the scene."""

    values: Tensor
    """[S,P,down,across]: windows in a column times cells in a window's column, and so for rows."""
    down: Tensor
    """[h,down], weights as `mosaic.blend` gives them."""
    across: Tensor
    """[w,across]."""


def strips(looks: Sequence[Grids]) -> Iterator[Tensor]:
    """The mean logits of some looks at one scene: [S,P,some rows,w], from its top to its bottom."""
    settings, classes = looks[0].values.shape[:2]
    height, width = len(looks[0].down), len(looks[0].across)
    at_once = max(1, STRIP_VALUES // (settings * classes * width))
    for start in range(0, height, at_once):
        parts = [_strip(look, slice(start, start + at_once)) for look in looks]
        yield torch.stack(parts).mean(0) if len(parts) > 1 else parts[0]


def _strip(look: Grids, rows: slice) -> Tensor:
    """Some rows of a scene: [S,P,rows,w]; only the cells that weigh there are touched."""
    down = look.down[rows]
    cells = down.any(0)
    found: Tensor = down[:, cells] @ look.values[:, :, cells] @ look.across.T
    return found


class Segmenter:
    """Segments scenes of any size in several ways at once; all share one pass of the trunk.

    Source: arXiv 2509.19943; nhd_ops/README.md, section 7. The paper takes the softmax of 40 times
    the logits before its argmax; that does not change the argmax, so none is taken here.

    Raises UsageError for settings that do not fit the model, and words that it does not know.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        classes: Classes,
        settings: Sequence[Setting],
        view: View | None = None,
        device: str = "cpu",
    ) -> None:
        if len(classes) > 256:
            raise UsageError(f"{len(classes)} classes do not fit a map of bytes: at most 256")
        if not settings:
            raise UsageError("no setting is given: name at least one way to segment")
        self.view, self.device, self.pixels = view or View(), device, loaded.pixels
        texts = classes.embed(loaded, self.view.templates).to(device)
        visual = loaded.model.visual
        self.trunk = Trunk(visual).to(device)
        self.scorer = Scorer(copy.deepcopy(visual.attnpool).to(device), texts, settings)

    @torch.inference_mode()
    def segment(self, image: Image.Image) -> Tensor:
        """The class id of every pixel of an image: [S,h,w] uint8 on the CPU, one map per setting.

        Of classes with equal logits it is the first one's.
        """
        # Unlike argmax, max is fast along a dimension that is not the last.
        found = [strip.max(1).indices.byte().cpu() for strip in strips(self._looks(image))]
        return torch.cat(found, dim=1)

    @torch.inference_mode()
    def logits(self, image: Image.Image) -> Tensor:
        """The logits of every pixel for every class: [S,P,h,w] fp32, on the device."""
        return torch.cat(list(strips(self._looks(image))), dim=2)

    def too_long(self, size: tuple[int, int]) -> int | None:
        """The longer side of an image of `size`, resized, if that is more than can be looked at."""
        longer = max(max(self._size(size, scale)) for scale in self.view.scales)
        return longer if longer > LONGEST else None

    def _looks(self, image: Image.Image) -> list[Grids]:
        return [self._grids(image, scale) for scale in self.view.scales]

    def _grids(self, image: Image.Image, scale: float) -> Grids:
        size, at_once = self.pixels.size, self.view.windows_at_once
        scene = self._scene(image, scale)  # [3,h,w]
        stride = max(1, round(self.view.stride * size))
        tops, lefts = (mosaic.starts(side, size, stride) for side in scene.shape[1:])
        windows = [scene[:, y : y + size, x : x + size] for y in tops for x in lefts]
        batches = (windows[i : i + at_once] for i in range(0, len(windows), at_once))
        logits = torch.cat([self._scores(torch.stack(batch)) for batch in batches], dim=1)
        settings, _, classes, grid, _ = logits.shape  # [S,windows,P,g,g]
        laid = logits.view(settings, len(tops), len(lefts), classes, grid, grid)
        laid = laid.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        blend = partial(mosaic.blend, window=size, grid=grid, taper=self.view.taper)
        down = blend(tops, length=scene.shape[1], out=image.height)
        across = blend(lefts, length=scene.shape[2], out=image.width)
        return Grids(laid, down.to(laid), across.to(laid))

    def _scores(self, windows: Tensor) -> Tensor:
        """uint8 [B,3,S,S] → [S,B,P,g,g]."""
        found: Tensor = self.scorer(self.trunk(self.pixels.normalise(windows)))
        return found

    def _scene(self, image: Image.Image, scale: float) -> Tensor:
        """uint8 RGB [3,h,w]: resized as the view asks, no side below that of a window."""
        rgb, size = image.convert("RGB"), self._size(image.size, scale)
        if size != image.size:
            rgb = rgb.resize(size, Image.Resampling[self.pixels.interpolation.name])
        return pillow_ops.pil_to_tensor(rgb).to(self.device)

    def _size(self, size: tuple[int, int], scale: float) -> tuple[int, int]:
        """Width and height at which a picture of `size` is looked at."""
        shorter = min(size)
        wanted = max(self.pixels.size, round(scale * (self.view.short_side or shorter)))
        return round(size[0] * wanted / shorter), round(size[1] * wanted / shorter)

"""Whole scenes, segmented by the tiny model: any size, any batching, and planted truth found."""

import numpy as np
import pytest
import torch
from PIL import Image

from nhd_ops import mosaic
from pipelines.errors import UsageError
from pipelines.io.classes import Classes, read_classes
from pipelines.models import load_model
from pipelines.segment import segmenter as module
from pipelines.segment.options import METHODS, Setting, View
from pipelines.segment.segmenter import Segmenter
from pipelines.tiny.drawing import render
from pipelines.tiny.scenes import sample_scene
from tests.ops.test_mosaic import Largest

TINY = load_model("tiny")
PARTS = read_classes("scene-parts")
ALL = tuple(Setting(method) for method in METHODS)


def scene(index: int = 0, size: int = 256, seed: int = 31) -> tuple[Image.Image, Image.Image]:
    return render(sample_scene(seed, index, size=size, objects=4))


def made(settings: tuple[Setting, ...] = ALL, **view: object) -> Segmenter:
    return Segmenter(TINY, PARTS, settings, View(**view))  # type: ignore[arg-type]


def test_a_scene_of_one_window_is_seen_as_the_model_sees_images() -> None:
    image = scene(size=128)[0]
    found = made().logits(image)
    one = made()
    with torch.inference_mode():
        grids = one.scorer(TINY.model.visual.layer4(_before_layer4(TINY.preprocess(image)[None])))
    wanted = torch.nn.functional.interpolate(grids[:, 0], (128, 128), mode="bilinear")
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


def _before_layer4(images: torch.Tensor) -> torch.Tensor:
    visual = TINY.model.visual
    for part in (visual.stem, visual.layer1, visual.layer2, visual.layer3):
        images = part(images)
    return images


@pytest.mark.parametrize("size", [(256, 256), (300, 180), (129, 400), (60, 90), (128, 128)])
def test_every_pixel_of_any_size_gets_a_class(size: tuple[int, int]) -> None:
    maps = made(stride=0.5, scales=(1.0, 1.25)).segment(scene()[0].resize(size))
    assert maps.shape == (len(ALL), size[1], size[0]) and maps.dtype == torch.uint8
    assert int(maps.max()) < len(PARTS)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_other_modes_are_read_as_rgb(mode: str) -> None:
    image = scene()[0].convert("L" if mode == "I;16" else mode)
    image = image.convert("I").convert(mode) if mode == "I;16" else image
    assert torch.equal(made().segment(image), made().segment(image.convert("RGB")))


def test_neither_strips_nor_batches_nor_company_change_a_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = scene()[0]
    together = made(stride=0.5, taper=True).segment(image)
    one_by_one = [made((one,), stride=0.5, taper=True).segment(image)[0] for one in ALL]
    assert (together == torch.stack(one_by_one)).float().mean() > 0.9999
    monkeypatch.setattr(module, "STRIP_VALUES", 5000)
    in_pieces = made(stride=0.5, taper=True, windows_at_once=2).segment(image)
    assert in_pieces.shape == together.shape
    assert (together == in_pieces).float().mean() > 0.9999, "up to ties by rounding"


def test_a_large_scene_is_never_whole_in_memory() -> None:
    begins = mosaic.starts(1000, 100, 50)
    side = mosaic.blend(begins, 100, 4, 1000, 1000)
    look = module.Grids(torch.randn(3, 50, side.shape[1], side.shape[1]), side, side)
    with Largest() as seen:
        rows = sum(strip.shape[2] for strip in module.strips([look]))
    assert rows == 1000 and seen.most <= module.STRIP_VALUES


def test_the_map_is_where_the_logits_are_largest() -> None:
    image = scene(2)[0].resize((200, 160))
    one = made(short_side=200, scales=(1.0, 1.5))
    assert torch.equal(one.logits(image).argmax(1).byte(), one.segment(image))


def test_larger_scenes_are_resized_to_the_short_side() -> None:
    large, same = scene(3)[0].resize((512, 512)), made(short_side=256)
    again = large.resize((256, 256), Image.Resampling.BICUBIC).resize((512, 512))
    assert (same.segment(large) == made(short_side=256).segment(again)).float().mean() > 0.97


def iou(maps: torch.Tensor, masks: np.ndarray) -> np.ndarray:
    """[S,n,h,w] against [n,h,w]: mean intersection over union in %, [S]."""
    found = maps.numpy()
    rows = []
    for one in found:
        both = np.stack([[(one == c) & (masks == c), (one == c) | (masks == c)] for c in range(18)])
        inter, union = both.sum((2, 3, 4)).T
        rows.append(100 * np.mean(inter[union > 0] / union[union > 0]))
    return np.array(rows)


def test_the_product_finds_what_is_planted_better_than_its_factors_and_maskclip() -> None:
    settings = (
        Setting(sink_repair=False, unit_tokens=True),
        Setting("neurons", sink_repair=False),
        Setting("heads", sink_repair=False),
        Setting("maskclip", sink_repair=False),
    )
    one = made(settings, stride=0.25, taper=True, scales=(1.0, 1.25))
    pictures, masks = zip(*(scene(i, seed=32) for i in range(8)), strict=True)
    maps = torch.stack([one.segment(picture) for picture in pictures], dim=1)
    product, *others = iou(maps, np.stack([np.asarray(mask) for mask in masks]))
    assert product > 50 and all(product > other + 2.5 for other in others), (product, others)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made((Setting(top_pairs=5000),)), "5000 pairs .* the model has 4096"),
        (lambda: Setting(top_pairs=-1), "top_pairs is -1"),
        (lambda: Setting("magic"), "'magic' is no method"),  # type: ignore[arg-type]
        (lambda: View(stride=0), "a stride of 0 windows"),
        (lambda: View(scales=()), "scales must be"),
        (lambda: View(short_side=-5), "short side must not be negative"),
        (lambda: made(()), "no setting"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()  # type: ignore[operator]


def test_more_classes_than_a_byte_holds_are_refused() -> None:
    names = tuple(f"class {i}" for i in range(257))
    with pytest.raises(UsageError, match="257 classes"):
        Segmenter(TINY, Classes(names, tuple((n,) for n in names)), ALL)

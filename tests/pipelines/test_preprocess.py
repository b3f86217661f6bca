"""The exact way is open_clip's own, bit by bit; the fast one stays close and judges nothing."""

import io
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import simplejpeg
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

from pipelines.errors import UsageError
from pipelines.extract.job import extract
from pipelines.io import preprocess as module
from pipelines.io.images import Decoded
from pipelines.io.preprocess import preprocess_of, stacked
from pipelines.io.rejects import Reject
from pipelines.io.store import Run
from pipelines.model_spec import How
from pipelines.models import load_model
from pipelines.tiny.drawing import jpeg_bytes, render
from pipelines.tiny.model import preprocess
from pipelines.tiny.scenes import sample_scene
from tests.conftest import plan
from tests.pipelines.test_images import (
    EXACT,
    STILL,
    VALID,
    decoded,
    edited,
    edits,
    encoded,
    flipped,
    noise,
)

FAST = preprocess_of(preprocess(), "fast")
SIZES = [
    (640, 480), (480, 640), (641, 479), (128, 128), (501, 1000), (1500, 200), (100, 70),
    (31, 33), (1, 1), (90, 2), (1920, 1281),
]  # fmt: skip


@cache
def photo(width: int, height: int) -> Image.Image:
    """Smooth gradients, edges and texture, as in a photograph."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = [128 + 90 * np.sin(x / 40 + y / 90), 100 + 80 * np.cos(x / 70), 0.3 * x + 0.1 * y]
    texture = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    edges = 60 * ((x // 37 + y // 53) % 2)
    values = np.stack(smooth, -1) % 256 + texture + edges[..., None]
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def jpeg(size: tuple[int, int], kind: str) -> bytes:
    options = {
        "4:4:4": {"subsampling": 0},
        "4:2:2": {"subsampling": 1},
        "4:2:0": {"subsampling": 2},
        "progressive": {"progressive": True},
        "grey": {},
    }[kind]
    image = photo(*size).convert("L") if kind == "grey" else photo(*size)
    return encoded(image, "JPEG", quality=90, **options)


def pixels(data: bytes, how: How) -> torch.Tensor:
    found = decoded(data, FAST if how == "fast" else EXACT)
    assert isinstance(found, Decoded)
    assert found.pixels.dtype == torch.uint8 and found.pixels.shape == (3, 128, 128)
    return found.pixels


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each image that the fast way made."""
    found: list[str] = []
    real = module.Preprocess._fast

    def counted(self: Any, image: Image.Image, data: bytes) -> torch.Tensor:
        made = real(self, image, data)
        found.append(image.mode)
        return made

    monkeypatch.setattr(module.Preprocess, "_fast", counted)
    return found


@pytest.mark.parametrize("size", [128, 224, 384])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "LA", "1", "I;16", "F", "I"])
def test_exact_pixels_normalised_are_open_clips_bit_by_bit(mode: str, size: int) -> None:
    transform = open_clip.image_transform(size, is_train=False)
    exact = preprocess_of(transform, "exact")
    files = [encoded(noise(shape, mode), "TIFF") for shape in ((300, 231), (90, 500), (1, 1))]
    found = [decoded(data, exact) for data in files]
    batch = stacked([item.pixels for item in found])  # type: ignore[union-attr]
    expected = torch.stack([transform(Image.open(io.BytesIO(data))) for data in files])
    assert torch.equal(exact.normalise(batch), expected)


@pytest.mark.parametrize("how", ["fast", "exact"])
def test_stacking_changes_no_pixel(how: How) -> None:
    each = [pixels(jpeg(size, "4:2:0"), how) for size in SIZES[:3]]
    assert torch.equal(stacked(each), torch.stack(each))


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:2", "4:2:0", "progressive", "grey"])
@pytest.mark.parametrize("size", SIZES)
def test_fast_pixels_are_close_to_the_exact_ones(
    size: tuple[int, int], kind: str, taken: list[str]
) -> None:
    data = jpeg(size, kind)
    difference = (pixels(data, "fast").float() - pixels(data, "exact").float()).abs()
    assert taken == ["L" if kind == "grey" else "RGB"]
    assert difference.mean() <= 0.02
    assert difference.max() <= 2


@pytest.mark.parametrize("name", VALID)
def test_what_is_no_rgb_or_grey_jpeg_goes_the_exact_way(name: str, taken: list[str]) -> None:
    fast = pixels(VALID[name], "fast")
    if name in ("jpeg", "jpeg grey", "jpeg progressive", "jpeg turned", "mpo"):
        assert len(taken) == 1
    else:
        assert not taken
        assert torch.equal(fast, pixels(VALID[name], "exact"))


@pytest.mark.parametrize("size", [(333, 1001), (100, 200), (2, 90), (5000, 2)])
def test_tall_and_long_jpegs_go_the_exact_way(size: tuple[int, int], taken: list[str]) -> None:
    data = jpeg(size, "4:2:0")
    assert torch.equal(pixels(data, "fast"), pixels(data, "exact"))
    assert not taken


def test_a_decoder_that_sees_another_size_than_pillow_is_not_asked_for_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg_header", lambda data: (60_000, 60_000, "", ""))
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_: pytest.fail("decoded"))
    assert torch.equal(pixels(STILL["jpeg"], "fast"), pixels(STILL["jpeg"], "exact"))


def same_verdict(data: bytes) -> None:
    fast, exact = decoded(data, FAST), decoded(data, EXACT)
    if isinstance(exact, Reject):
        assert fast == exact
        return
    assert isinstance(fast, Decoded)
    assert (fast.sample, fast.width, fast.height) == (exact.sample, exact.width, exact.height)
    assert (fast.pixels.int() - exact.pixels.int()).abs().max() <= 3


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "grey"])
def test_damaged_jpegs_are_judged_alike(kind: str) -> None:
    data = jpeg((100, 70), kind)
    for at in range(0, len(data), len(data) // 50):
        same_verdict(data[:at])
        same_verdict(flipped(data, at))
    truncated = decoded(data[: len(data) // 2], FAST)
    assert isinstance(truncated, Reject)
    assert truncated.reason == "undecodable_image"


@settings(max_examples=300)
@given(st.sampled_from([name for name in sorted(VALID) if "jpeg" in name or name == "mpo"]), edits)
def test_edited_jpegs_are_judged_alike(name: str, changes: list[tuple[str, float, bytes]]) -> None:
    same_verdict(edited(VALID[name], changes))


def test_embeddings_hardly_differ_between_the_two_ways() -> None:
    loaded = load_model("tiny")
    files = [jpeg_bytes(render(sample_scene(7, i))[0]) for i in range(30)]
    files += [jpeg(size, kind) for size in SIZES for kind in ("4:2:0", "grey")]
    ways: tuple[How, How] = ("fast", "exact")
    batches = [stacked([pixels(data, how) for data in files]) for how in ways]
    one, other = (loaded.model.encode_image(loaded.pixels.normalise(b)) for b in batches)
    assert F.cosine_similarity(one, other).min() >= 0.9999


def test_the_two_ways_differ_in_name_and_are_not_mixed_in_one_run(
    scenes: str, tmp_path: Path
) -> None:
    assert (EXACT.id, FAST.id) == ("pillow-bdf3e573", "simplejpeg-bdf3e573")
    extract(plan(scenes, tmp_path, preprocess="exact"))
    assert Run(str(tmp_path)).info["preprocess_id"] == EXACT.id
    with pytest.raises(UsageError, match="preprocess_id was pillow-bdf3e573 and is now simplejpeg"):
        extract(plan(scenes, tmp_path))


THREADS = """
import os, pathlib, sys, torch
from pipelines.io.images import decode
from pipelines.io.preprocess import preprocess_of
from pipelines.io.shards import Sample
from pipelines.tiny.model import preprocess

torch.set_num_threads(4)
before = len(os.listdir("/proc/self/task"))
for how in ("fast", "exact"):
    sample = Sample("", pathlib.Path(sys.argv[1]).read_bytes(), None, {})
    found = decode(sample, preprocess_of(preprocess(), how))
    print(tuple(found.pixels.shape), len(os.listdir("/proc/self/task")) - before)
torch.ones(1 << 20).add(1)
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_decoding_starts_no_threads_of_torch(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg((1920, 1281), "4:2:0"))
    command = [sys.executable, "-c", THREADS, str(tmp_path / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(3, 128, 128) 0", "(3, 128, 128) 0", "3"]


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: image,
        Compose([ToTensor()]),
        Compose([Resize(32), CenterCrop(48), ToTensor()]),
        open_clip.image_transform(64, is_train=False, resize_mode="squash"),
        open_clip.image_transform(64, is_train=False, resize_mode="longest"),
        open_clip.image_transform((64, 32), is_train=False),
        open_clip.image_transform(64, is_train=True),
    ],
)
def test_other_transforms_are_refused(transform: Any) -> None:
    with pytest.raises(UsageError, match="open_clip's evaluation transform"):
        preprocess_of(transform)

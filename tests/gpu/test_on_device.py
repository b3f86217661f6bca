"""What runs on the GPU gives what the CPU gives: `pytest -m gpu tests/gpu`, infra/gpu_check.sh.

NHD_TEST_DEVICE=cpu runs the same tests without a GPU, which only shows that they are sound.
"""

import os

import pytest
import torch

from nhd_ops import moments
from nhd_ops.accumulator import Accumulator
from nhd_ops.moments import to_tensors
from nhd_ops.second_moments import second_moments_of
from pipelines.bench.compute import Setup, settings_for
from pipelines.extract.decomposer import TOLERANCE, Decomposer
from pipelines.extract.measurer import Measurer
from pipelines.io.images import Decoded
from pipelines.io.shards import Sample
from pipelines.models import load_model
from tests.ops import random_world

DEVICE = os.environ.get("NHD_TEST_DEVICE", "cuda")
CONCEPTS = ("yellow", "car")
pytestmark = pytest.mark.gpu


def images(count: int, side: int) -> list[Decoded]:
    generator = torch.Generator().manual_seed(count)
    found = []
    for index in range(count):
        pixels = torch.randint(0, 256, (side, side, 3), generator=generator, dtype=torch.uint8)
        sample = Sample(f"{index:03d}", b"", "{}", {"label": index % 2})
        found.append(Decoded(sample, pixels.permute(2, 0, 1), side, side))
    return found


def measurer(device: str, dtype: str = "float32", batch: int = 16) -> Measurer:
    setup = Setup("tiny", dtype, device, batch, concepts=CONCEPTS)
    loaded = load_model("tiny", device=device)
    return Measurer(Decomposer(loaded, CONCEPTS, 5, dtype, device), settings_for(setup))


def measured(device: str, dtype: str = "float32", batch: int = 16) -> tuple[torch.Tensor, ...]:
    """Embeddings, norms and similarities of 40 images."""
    found = [m.rows for m in measurer(device, dtype, batch).measure(images(40, 128), 0) if m.rows]
    return (
        torch.cat([rows.embedding for rows in found]),
        torch.cat([rows.norm_total for rows in found]),
        torch.cat([rows.measures.similarity for rows in found]),
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rows_agree_with_the_cpus_in_fp32(dtype: str) -> None:
    for ours, theirs in zip(measured(DEVICE, dtype), measured("cpu"), strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["RN50", "RN50x16"])
def test_open_clips_models_pass_their_self_check(name: str, dtype: str) -> None:
    loaded = load_model(name, "none", device=DEVICE)
    with torch.no_grad():
        random_world.randomise(loaded.model.visual, seed=0)
    side = loaded.pixels.size
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    decomposer = Decomposer(loaded, (), 1, dtype, DEVICE)
    with torch.inference_mode():
        coefficients, embedding = decomposer.forward(pixels.to(DEVICE))
    assert decomposer.checked and coefficients.isfinite().all() and embedding.isfinite().all()


def test_normalised_pixels_are_the_same_bits() -> None:
    preprocess = load_model("tiny").pixels
    batch = torch.stack([image.pixels for image in images(5, 128)])
    assert torch.equal(preprocess.normalise(batch.to(DEVICE)).cpu(), preprocess.normalise(batch))


def test_moments_agree_with_the_cpus() -> None:
    """Extremes and counts exactly, sums as far as fp32 goes."""
    decomposer = Decomposer(load_model("tiny"), CONCEPTS, 5, "float32", "cpu")
    geometry = decomposer.geometry
    shape = (700, geometry.directions.heads, geometry.directions.neurons)
    s = torch.randn(shape, generator=torch.Generator().manual_seed(3)).relu()
    ids, labels = torch.arange(len(s)), torch.arange(len(s))[:, None] % 3 == 0
    similarity = s.flatten(1)[:, :4].contiguous()
    expected = moments.moments_of(s, geometry, ids, similarity=similarity, labels=labels)
    accumulator = Accumulator(geometry.to(DEVICE))
    for part in torch.split(ids, 100):
        accumulator.add(
            s[part].to(DEVICE),
            part.to(DEVICE),
            similarity[part].to(DEVICE),
            labels[part].to(DEVICE),
        )
    found = accumulator.take()
    assert found is not None
    seen = to_tensors(found)
    for name, tensor in to_tensors(expected).items():
        if name in ("largest", "smallest", "pairs/histogram", "pairs/count"):
            assert torch.equal(seen[name].cpu(), tensor), name
        elif "keys" not in name and "vectors" not in name:  # norms carry their batch's rounding
            torch.testing.assert_close(seen[name].cpu(), tensor, rtol=1e-4, atol=1e-4)


def test_second_moments_agree_with_the_cpus() -> None:
    x = torch.randn(90, 3, 6, generator=torch.Generator().manual_seed(4)) + 2
    fold = torch.arange(90) % 4
    expected = second_moments_of(x, fold, 5)  # the last fold is empty
    found = second_moments_of(x.to(DEVICE), fold.to(DEVICE), 5)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(DEVICE == "cpu", reason="fills the GPU's memory")
def test_batches_are_halved_when_the_gpus_memory_runs_out() -> None:
    ours = measurer(DEVICE, batch=40)
    whole = torch.cat([m.rows.embedding for m in ours.measure(images(40, 128), 0) if m.rows])
    ours.forget()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    real, sizes = ours.decomposer.forward, list[int]()

    def forward(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(pixels) > 5:
            torch.empty(2 * free, dtype=torch.uint8, device=DEVICE)
        sizes.append(len(pixels))
        return real(pixels)

    ours.decomposer.forward = forward  # type: ignore[method-assign]
    halved = torch.cat([m.rows.embedding for m in ours.measure(images(40, 128), 0) if m.rows])
    assert sizes == [5] * 8
    torch.testing.assert_close(halved, whole, rtol=1e-4, atol=1e-4)

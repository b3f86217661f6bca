"""Weights, activations and memory that are not as they should be."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nhd_ops.extremes import unpack
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.job import extract
from pipelines.extract.worker import Extractor
from pipelines.io import shards
from pipelines.io.images import Decoded, decode
from pipelines.io.listing import expand
from pipelines.io.preprocess import preprocess_of
from pipelines.io.store import Run
from pipelines.model_spec import ModelSpec
from pipelines.models import load_model
from pipelines.tiny import model as tiny
from tests.conftest import plan


def checkpoint(path: Path, scale: float) -> ModelSpec:
    """The tiny model, with what its attention pool reads made `scale` times as large.

    Its queries and keys undo that, so that only the values, and the embedding, grow.
    """
    weights = {name: tensor.clone() for name, tensor in load_file(tiny.weights_path()).items()}
    for norm in ("bn3", "downsample.1"):
        for kind in ("weight", "bias"):
            name = f"visual.layer4.0.{norm}.{kind}"
            weights[name] = weights[name].float() * scale
    for name in ("q_proj", "k_proj"):
        weight = f"visual.attnpool.{name}.weight"
        weights[weight] = weights[weight].float() / scale
    save_file(weights, path)
    return ModelSpec("tiny", checkpoint=str(path))


@pytest.fixture(scope="module")
def images(scenes: str) -> list[Decoded]:
    """Forty decoded scenes."""
    preprocess = preprocess_of(tiny.preprocess())
    found = [decode(s, preprocess) for s in shards.samples(expand(scenes)[0])]
    assert all(isinstance(item, Decoded) for item in found)
    return found  # type: ignore[return-value]


def finite(model: ModelSpec, images: list[Decoded]) -> int:
    """How many images this model gives a finite embedding."""
    loaded = load_model(model.name, checkpoint=model.checkpoint)
    pixels = loaded.pixels.normalise(torch.stack([item.pixels for item in images]))
    with torch.inference_mode():
        found = loaded.model.encode_image(pixels)
    return int(found.isfinite().all(1).sum())


def test_images_that_overflow_are_rejects_and_leave_no_trace(
    scenes: str, images: list[Decoded], tmp_path: Path
) -> None:
    """With activations at the edge of float32, where some images overflow and some do not."""
    low, high = 1e30, 1e38
    while (
        not 0 < (count := finite(checkpoint(tmp_path / "edge", (low * high) ** 0.5), images)) < 40
    ):
        low, high = ((low * high) ** 0.5, high) if count else (low, (low * high) ** 0.5)
        assert high / low > 1.0001
    model = ModelSpec("tiny", checkpoint=str(tmp_path / "edge"))
    found = extract(plan(expand(scenes)[0], tmp_path / "run", model=model))
    run = Run(str(tmp_path / "run"))
    assert found["read"] == 40 and found["written"] > 0 and found["rejected"] > 0
    assert set(run.rejects()["reason"].to_pylist()) == {"not_finite"}
    assert np.isfinite(np.stack(run.images().to_pandas()["embedding"])).all()
    assert run.moments().count == found["written"]
    assert run.moments().pairs.mean.isfinite().all()


def test_weights_that_are_not_finite_are_refused(scenes: str, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "nan", float("nan"))
    with pytest.raises(UsageError, match=r"6 tensors hold values that are not finite, first vis"):
        extract(plan(scenes, tmp_path / "run", model=model))


def test_a_model_that_overflows_on_everything_is_refused(scenes: str, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "huge", 3e38)
    with pytest.raises(UsageError, match=r"not finite for any of the first 16 images.*float32"):
        extract(plan(scenes, tmp_path / "run", model=model))
    assert not list(tmp_path.rglob("*.parquet"))


def test_other_weights_and_settings_are_refused_with_every_difference(
    scenes: str, tmp_path: Path
) -> None:
    first = expand(scenes)[2]
    extract(plan(first, tmp_path / "run", model=checkpoint(tmp_path / "one", 1.0)))
    with pytest.raises(UsageError, match=r"weights_sha256 was \w+ and is now \w+; choose another"):
        extract(plan(first, tmp_path / "run", model=checkpoint(tmp_path / "two", 2.0)))
    with pytest.raises(UsageError, match=r"dtype was float32 and is now bfloat16; top_pairs was"):
        asked = plan(first, tmp_path / "run", dtype="bfloat16", top_pairs=9)
        extract(dataclasses.replace(asked, model=checkpoint(tmp_path / "one", 1.0)))


def greedy(extractor: Extractor, most: int) -> list[int]:
    """Make the forward pass ask the allocator for more than there is above `most` images.

    Returns the sizes of the batches that passed.
    """
    real, passed = extractor.measurer.decomposer.forward, list[int]()

    def forward(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(pixels) > most:
            torch.empty(2**46, dtype=torch.float64)
        passed.append(len(pixels))
        return real(pixels)

    extractor.measurer.decomposer.forward = forward  # type: ignore[method-assign]
    return passed


def extractor(out: Path, scenes: str) -> Extractor:
    from pipelines.extract import job

    asked = plan(scenes, out, batch_size=32)
    return Extractor(job._settings(asked, expand(scenes)))


def test_batches_are_halved_when_memory_runs_out_and_nothing_is_lost(
    scenes: str, images: list[Decoded], tmp_path: Path
) -> None:
    worker = extractor(tmp_path, scenes)
    whole = list(worker.measurer.measure(list(images), 0))
    worker.measurer.forget()
    passed = greedy(worker, most=5)
    found = [m for m in worker.measurer.measure(list(images), 0) if m.rows]
    assert passed == [4] * 10, "32, 16 and 8 were too many"
    assert worker.progress()["notes"][-1] == "memory ran out: batches are now of 4 images"
    keys = [sample.key for m in found for sample in m.rows.samples]  # type: ignore[union-attr]
    assert keys == [item.sample.key for item in images]
    expected = torch.cat([m.rows.embedding for m in whole if m.rows])
    torch.testing.assert_close(torch.cat([m.rows.embedding for m in found if m.rows]), expected)
    total = worker.measurer.moments()
    assert total is not None and total.count == 40
    ids = unpack(total.largest)[1]
    assert set(ids.unique().tolist()) - {-1} == set(range(40)), "each image under its own number"


def test_one_image_that_does_not_fit_ends_the_run(
    scenes: str, images: list[Decoded], tmp_path: Path
) -> None:
    worker = extractor(tmp_path, scenes)
    greedy(worker, most=0)
    with pytest.raises(Incomplete, match="one image does not fit into the memory of cpu"):
        list(worker.measurer.measure(list(images), 0))


def test_other_errors_of_the_forward_pass_are_not_taken_for_memory(
    images: list[Decoded], scenes: str, tmp_path: Path
) -> None:
    wrong = dataclasses.replace(images[0], pixels=torch.zeros(3, 64, 64, dtype=torch.uint8))
    with pytest.raises(RuntimeError, match="size"):
        list(extractor(tmp_path, scenes).measurer.measure([images[0], wrong], 0))

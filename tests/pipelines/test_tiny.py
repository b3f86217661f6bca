"""The tiny world: scenes follow from their seed, statements are true, the model knows them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import UsageError
from pipelines.io import shards
from pipelines.io.words import word_list
from pipelines.tiny import captions, drawing, model
from pipelines.tiny.accuracy import held_out_accuracy
from pipelines.tiny.dataset import write_scenes
from pipelines.tiny.scenes import ATTRIBUTES, BACKGROUNDS, COLOURS, PARTS, parse_boost, sample_scene
from pipelines.tiny.train import Training, masked_contrastive, train


def test_scenes_do_not_depend_on_the_sharding(tmp_path: Path) -> None:
    found = []
    for per_shard in (7, 20):
        urls = write_scenes(str(tmp_path / str(per_shard)), 20, seed=3, per_shard=per_shard)
        found.append([sample for url in urls for sample in shards.samples(url)])
    assert found[0] == found[1] and len(found[0]) == 20


def test_the_json_is_the_truth_and_the_mask_shows_it(tmp_path: Path) -> None:
    (url,) = write_scenes(str(tmp_path), 12, seed=4)
    for sample in shards.samples(url):
        assert isinstance(sample, shards.Sample)
        named = {o["colour"] for o in sample.fields["objects"]}
        assert {c for c in COLOURS if sample.fields[c]} == named
    scene = sample_scene(4, 0)
    mask = np.asarray(drawing.render(scene)[1])
    expected = {PARTS.index(name) for name in (scene.background, *(i.shape for i in scene.items))}
    assert set(np.unique(mask)) == expected


def test_a_boost_changes_proportions_as_planted() -> None:
    boost = parse_boost("yellow=3, car=2")
    scenes = [sample_scene(5, i, boost, objects=1) for i in range(4000)]
    yellow = np.mean([s.attributes()["yellow"] for s in scenes])
    car = np.mean([s.attributes()["car"] for s in scenes])
    assert abs(yellow - 3 / 12) < 0.025 and abs(car - 2 / 13) < 0.025


@pytest.mark.parametrize("objects", [3, 4, 8])
def test_many_objects_lie_apart_and_inside(objects: int) -> None:
    for index in range(60):
        items = sample_scene(8, index, size=256, objects=objects).items
        assert len(items) == objects
        for i, one in enumerate(items):
            assert one.radius <= min(one.x, one.y) and max(one.x, one.y) <= 256 - one.radius
            for other in items[:i]:
                apart = np.hypot(one.x - other.x, one.y - other.y)
                assert apart > 0.95 * (one.radius + other.radius)


def test_four_objects_on_twice_the_size_are_as_large_as_one() -> None:
    four = [sample_scene(9, i, size=256, objects=4).items[0].radius for i in range(400)]
    one = [sample_scene(9, i, size=128, objects=1).items[0].radius for i in range(400)]
    assert np.allclose(np.quantile(four, [0, 0.5, 1]), np.quantile(one, [0, 0.5, 1]), rtol=0.05)


def test_textures_keep_their_scale_on_larger_scenes() -> None:
    for background in BACKGROUNDS:
        small, large = (_roughness(background, size) for size in (128, 256))
        assert abs(large / small - 1) < 0.15, background


def _roughness(background: str, size: int) -> float:
    """How much neighbouring pixels of an empty scene differ."""
    scene = sample_scene(1, 0, size=size)
    image, _ = drawing.render(replace(scene, background=background, items=()))
    grey = np.asarray(image.convert("L"), dtype=float)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


@pytest.mark.parametrize("objects", [0, 9])
def test_a_wrong_number_of_objects_is_refused(objects: int) -> None:
    with pytest.raises(UsageError, match=f"1 to 8 objects, not {objects}"):
        sample_scene(0, 0, objects=objects)


@pytest.mark.parametrize("text", ["gold=2", "yellow", "yellow=-1", "yellow=nan", "yellow=inf"])
def test_a_wrong_boost_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="boost"):
        parse_boost(text)


def test_sampled_statements_hold_of_their_scene_and_not_of_all() -> None:
    scenes = [sample_scene(6, i) for i in range(300)]
    rng = np.random.default_rng(0)
    statements = [captions.sample_statement(scene, rng) for scene in scenes]
    holds = captions.truth(scenes, statements)
    assert holds.diagonal().all()
    assert 0.005 < holds.mean() < 0.2


def test_every_caption_and_dictionary_word_is_known_to_the_tokenizer() -> None:
    tokens, rng = model.tokenizer(), np.random.default_rng(1)
    texts = [captions.sample_text(sample_scene(7, i), rng)[0] for i in range(300)]
    for text in [*texts, *word_list("scenes"), *ATTRIBUTES]:
        assert not tokens.unknown(text), text
    ids = tokens(["a yellow car", "a yellow zebra"])
    assert ids.shape == (2, 24) and (ids.argmax(1) == torch.tensor([4, 4])).all()
    assert ids[1, 3] == 2


def test_true_statements_about_other_images_are_not_negatives() -> None:
    unit = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    holds = torch.eye(4, dtype=torch.bool).numpy()
    scale = torch.tensor(10.0)
    plain = masked_contrastive(unit, unit, scale, torch.from_numpy(holds))
    torch.testing.assert_close(
        plain, torch.nn.functional.cross_entropy(scale * unit @ unit.T, torch.arange(4))
    )
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert masked_contrastive(unit, unit, scale, everything) == 0


@pytest.mark.slow
def test_training_learns() -> None:
    torch.manual_seed(0)
    losses: list[float] = []

    def log(line: str) -> None:
        if "loss" in line:
            losses.append(float(line.split("loss ")[1].split(maxsplit=1)[0]))

    train(Training(scenes=64, steps=50, batch_size=16), log)
    assert losses[-1] < 0.8 * np.log(16)  # chance, with 16 captions to choose from


def test_the_shipped_model_reaches_its_promised_accuracy() -> None:
    accuracy = held_out_accuracy(model.load(), count=600, seed=77)
    assert accuracy["colour"] >= 0.99 and accuracy["background"] >= 0.99
    assert accuracy["shape"] >= 0.97 and accuracy["colour_and_shape"] >= 0.97
    record = json.loads(Path(model.weights_path()).with_suffix(".json").read_text())
    assert record["zero_shot"]["colour_and_shape"] >= 0.97
    assert {"seed", "steps", "minutes", "torch", "open_clip"} <= record.keys()

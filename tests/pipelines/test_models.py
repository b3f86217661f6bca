"""Models: the same weights from any kind of file, and one sentence for everything that is wrong."""

import os
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipelines.errors import UsageError
from pipelines.extract.job import extract
from pipelines.io.store import Run
from pipelines.model_spec import ModelSpec
from pipelines.models import load_model, text_embeddings
from pipelines.tiny.dataset import write_scenes
from tests.conftest import plan


def test_the_tiny_model_is_open_clips_and_loads_the_same_twice() -> None:
    one, other = load_model("tiny"), load_model("tiny")
    assert isinstance(one.model, open_clip.CLIP) and not one.model.training
    assert one.weights_sha256 == other.weights_sha256
    assert load_model("tiny", pretrained="none").weights_sha256 != one.weights_sha256
    assert os.path.getsize("pipelines/tiny/tiny.safetensors") < 10e6


def test_template_average_is_the_literal_one() -> None:
    loaded = load_model("tiny")
    (found,) = text_embeddings(loaded, ["yellow"])
    prompts = [t("yellow") for t in open_clip.OPENAI_IMAGENET_TEMPLATES]
    each = loaded.model.encode_text(loaded.tokenizer(prompts))
    mean = torch.nn.functional.normalize(each, dim=-1).mean(0)
    torch.testing.assert_close(found, mean / mean.norm(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "RN50"])
def test_texts_without_their_padding_have_the_embeddings_of_open_clip(name: str) -> None:
    loaded = load_model(name, pretrained=None if name == "tiny" else "none")
    words = ["yellow", "a yellow car", "a house and a tree and a star and a car"]
    with torch.inference_mode():
        literal = loaded.model.encode_text(loaded.tokenizer(words), normalize=True)
    for part in (words, words[:1]):
        found = text_embeddings(loaded, part, templates=False)
        torch.testing.assert_close(found, literal[: len(part)], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_a_checkpoint_file_takes_the_same_path(kind: str, tmp_path: Path) -> None:
    clip = open_clip.create_model("RN50", pretrained=None)
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    state = {k: v.clone() for k, v in clip.state_dict().items()}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path)
    spec = ModelSpec("RN50", checkpoint=str(path))
    loaded = load_model(spec.name, checkpoint=spec.checkpoint)
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    if kind == "safetensors":
        (shard,), out = write_scenes(str(tmp_path), 2, seed=5), str(tmp_path / "run")
        extract(plan(shard, out, model=spec, concepts=("a yellow car",)))
        assert Run(out).info["units"]["pairs"] == 65_536
        assert Run(out).images(["pairs"]).num_rows == 2


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "hacked"),)

    torch.save({"state_dict": Evil()}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="does not fit RN50"):
        load_model("RN50", checkpoint=str(tmp_path / "w.pt"))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("RN50x61",), "did you mean RN50x"),
        (("ViT-B-32", "openai"), "no ResNet attention pool"),
        (("RN50",), "needs weights: --pretrained openai"),
        (("RN50", "laion"), "no weights called 'laion'"),
        (("RN50", None, "/nowhere/file.pt"), "does not exist"),
        (("RN50", "openai", "/tmp"), "not both"),
        (("tiny", "openai"), "has one set of weights"),
    ],
)
def test_each_wrong_model_gets_its_own_sentence(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_model(*arguments)


def test_another_architectures_checkpoint_is_refused(tmp_path: Path) -> None:
    save_file({"visual.conv1.weight": torch.zeros(3, 3)}, tmp_path / "w.safetensors")
    for name in ("RN50", "tiny"):
        with pytest.raises(UsageError, match="does not fit"):
            load_model(name, checkpoint=str(tmp_path / "w.safetensors"))


def test_weights_that_cannot_be_downloaded_say_how_to_pass_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"could not be downloaded.*--checkpoint FILE"):
        load_model("RN50x16", "openai")


def test_a_loaded_model_is_used_as_open_clips_are() -> None:
    """What scripts lean on: `model`, `preprocess` (PIL image → tensor), `tokenizer`, the hash."""
    loaded = load_model("tiny", how="exact")
    image = Image.new("RGB", (200, 150), "yellow")
    pixels = loaded.preprocess(image)
    prepared = loaded.pixels.normalise(loaded.pixels(image, b"")[None])
    assert torch.equal(pixels[None], prepared)
    texts = loaded.tokenizer(["a yellow square", "a blue car"])
    scores = loaded.model.encode_text(texts) @ loaded.model.encode_image(pixels[None]).T
    assert scores[0] > scores[1] and len(loaded.weights_sha256) == 64

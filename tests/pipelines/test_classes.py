"""Classes by name, from a list and from files; what cannot be classes is refused."""

import json
from pathlib import Path

import pytest
import torch

from pipelines.errors import UsageError
from pipelines.io.classes import read_classes, write_classes
from pipelines.models import load_model, text_embeddings


def test_a_list_and_both_kinds_of_file_give_the_same_classes(tmp_path: Path) -> None:
    lines = tmp_path / "classes.txt"
    lines.write_text("car, automobile\n\ntree\n")
    found = read_classes(str(lines))
    assert found.names == ("car", "tree") and found.texts == (("car", "automobile"), ("tree",))
    (tmp_path / "classes.json").write_text(json.dumps(write_classes(found)))
    assert read_classes(str(tmp_path / "classes.json")) == found
    assert read_classes("car, tree").names == found.names


@pytest.mark.parametrize(("name", "count"), [("scene-things", 120), ("scene-parts", 18)])
def test_the_scenes_classes_are_known_to_the_tiny_model(name: str, count: int) -> None:
    texts = read_classes(name).embed(load_model("tiny"))
    assert texts.shape == (count, 128)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(count))


def test_imagenet_has_a_thousand_classes() -> None:
    assert len(read_classes("imagenet")) == 1000


def test_a_class_of_several_texts_is_their_mean(tmp_path: Path) -> None:
    lines = tmp_path / "classes.txt"
    lines.write_text("car, automobile\ntree")
    loaded = load_model("tiny")
    mean = text_embeddings(loaded, ["car", "automobile"]).mean(0)
    found = read_classes(str(lines)).embed(loaded)[0]
    torch.testing.assert_close(found, mean / mean.norm())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("car", "no list of classes"),
        ("car,car", "given twice"),
        ("nowhere.json", "cannot be read"),
        ("broken.json", "holds no classes"),
        ("empty.json", "without texts: b"),
        ("commas.txt", "line without a class: ,"),
    ],
)
def test_what_is_no_list_of_classes_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"names": []}')
    entries = [{"name": "a", "texts": ["a"]}, {"name": "b", "texts": []}]
    (tmp_path / "empty.json").write_text(json.dumps({"classes": entries}))
    (tmp_path / "commas.txt").write_text("car\n,\ntree\n")
    with pytest.raises(UsageError, match=said):
        read_classes(str(tmp_path / text) if "." in text else text)

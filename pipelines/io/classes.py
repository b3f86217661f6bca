"""The classes that images or pixels are told apart by: their names, and the texts for each."""

import json
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.errors import UsageError
from pipelines.io.words import read_text
from pipelines.models import LoadedModel, check_words, text_embeddings
from pipelines.tiny.scenes import PARTS, THINGS

BUILT_IN = ("scene-things", "scene-parts", "imagenet")


@dataclass(frozen=True)
class Classes:
    """P classes in the order in which labels and masks number them."""

    names: tuple[str, ...]
    """As they are shown, and as a sample's JSON may call them; unique."""
    texts: tuple[tuple[str, ...], ...]
    """What each may be called in a prompt: at least one text."""

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise UsageError("fewer than two classes cannot be told apart")
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            raise UsageError(f"the class '{min(twice)}' is given twice")

    def __len__(self) -> int:
        return len(self.names)

    def embed(self, loaded: LoadedModel, templates: bool = True) -> Tensor:
        """Unit text embeddings [P,D] fp32: the mean over a class's texts, normalised."""
        flat = [text for texts in self.texts for text in texts]
        check_words(loaded, flat)
        found = text_embeddings(loaded, flat, templates=templates)
        parts = found.split([len(texts) for texts in self.texts])
        return F.normalize(torch.stack([part.mean(0) for part in parts]), dim=1)


def read_classes(name: str) -> Classes:
    """Classes by name or from a file.

    Args:
        name: `scene-things` (120 of colour and shape), `scene-parts` (the 18 of the scenes' masks),
            `imagenet` (open_clip's 1,000 names), a comma-separated list, or the path or URL of a
            file: `classes.json`, as `nhd prepare` writes it, or one class per line, of which
            further texts may follow the name after commas.

    Raises UsageError for a file that cannot be read or does not say so.
    """
    if name == "imagenet":
        return _imagenet()
    if name in BUILT_IN:
        return _plain(THINGS if name == "scene-things" else PARTS)
    if name.endswith(".json"):
        return _from_json(name, read_text(name, "classes file"))
    if os.path.exists(name) or "://" in name:
        lines = [
            line.strip() for line in read_text(name, "classes file").splitlines() if line.strip()
        ]
        texts = [tuple(t.strip() for t in line.split(",") if t.strip()) for line in lines]
        if () in texts:
            raise UsageError(f"line '{lines[texts.index(())]}' of {name} names no class")
        return Classes(tuple(text[0] for text in texts), tuple(texts))
    listed = tuple(part.strip() for part in name.split(",") if part.strip())
    if len(listed) < 2:
        raise UsageError(
            f"'{name}' is no list of classes: give {', '.join(BUILT_IN)}, names with commas "
            "between them, or a file that exists"
        )
    return _plain(listed)


def write_classes(classes: Classes) -> dict[str, Any]:
    """What `classes.json` holds."""
    both = zip(classes.names, classes.texts, strict=True)
    return {"classes": [{"name": name, "texts": list(texts)} for name, texts in both]}


def _plain(texts: tuple[str, ...]) -> Classes:
    return Classes(texts, tuple((text,) for text in texts))


def _imagenet() -> Classes:
    """Two names occur twice among the 1,000; the second is shown with its number."""
    from pipelines.vision import IMAGENET_CLASSNAMES as texts

    again = [text in texts[:i] for i, text in enumerate(texts)]
    names = [f"{t} ({i})" if again[i] else t for i, t in enumerate(texts)]
    return Classes(tuple(names), tuple((text,) for text in texts))


def _from_json(name: str, text: str) -> Classes:
    try:
        found = json.loads(text)["classes"]
        texts = tuple(tuple(map(str, entry["texts"])) for entry in found)
        names = tuple(str(entry["name"]) for entry in found)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{name} holds no classes as nhd prepare writes them: {error}") from error
    if not all(texts):
        raise UsageError(f"{name} has a class without texts: {names[texts.index(())]}")
    return Classes(names, texts)

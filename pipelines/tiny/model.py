"""The tiny CLIP: open_clip's own CLIP class with a ModifiedResNet tower, and a word tokenizer."""

import json
from importlib import resources

import torch
from safetensors.torch import load_file

from pipelines.tiny.captions import split_words, vocabulary
from pipelines.vision import CLIP, CLIPTextCfg, CLIPVisionCfg, open_clip

WEIGHTS = "tiny.safetensors"
CONTEXT = 24
EMBED_DIM = 128
VISION = CLIPVisionCfg(layers=[1, 1, 2, 1], width=16, head_width=64, image_size=128)  # type: ignore[arg-type]
TEXT_WIDTH, TEXT_HEADS, TEXT_LAYERS = 128, 4, 3


class WordTokenizer:
    """Text → [N, CONTEXT] ids: 0 pad, 1 start, 2 unknown word, then words, and the end mark last.

    The end mark has the largest id, because open_clip's text tower pools at the argmax.
    """

    def __init__(self, words: list[str]) -> None:
        self.words = {word: 3 + i for i, word in enumerate(words)}
        self.end = 3 + len(words)
        self.vocab_size = self.end + 1

    def __call__(self, texts: str | list[str], context_length: int = CONTEXT) -> torch.Tensor:
        texts = [texts] if isinstance(texts, str) else texts
        ids = torch.zeros(len(texts), context_length, dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            words = [self.words.get(word, 2) for word in split_words(text)][: context_length - 2]
            row[: len(words) + 2] = torch.tensor([1, *words, self.end])
        return ids

    def unknown(self, text: str) -> list[str]:
        """The words of `text` that the model has never seen."""
        return [word for word in split_words(text) if word not in self.words]


def tokenizer() -> WordTokenizer:
    """The tokenizer of the shipped weights."""
    return WordTokenizer(vocabulary())


def build() -> CLIP:
    """An untrained tiny CLIP (random weights from torch's generator), in training mode."""
    text = CLIPTextCfg(
        context_length=CONTEXT,
        vocab_size=tokenizer().vocab_size,
        width=TEXT_WIDTH,
        heads=TEXT_HEADS,
        layers=TEXT_LAYERS,
    )
    return CLIP(embed_dim=EMBED_DIM, vision_cfg=VISION, text_cfg=text)


def preprocess():  # type: ignore[no-untyped-def]
    """open_clip's evaluation transform at the tiny model's input size: PIL image → [3,128,128]."""
    return open_clip.image_transform(VISION.image_size, is_train=False)


def weights_path() -> str:
    """Where the shipped weights lie."""
    return str(resources.files("pipelines.tiny") / WEIGHTS)


def training_record() -> dict[str, object]:
    """How the shipped weights were made: seed, steps, minutes, versions, accuracy."""
    text = (resources.files("pipelines.tiny") / "tiny.json").read_text()
    record: dict[str, object] = json.loads(text)
    return record


def load(path: str | None = None) -> CLIP:
    """The trained tiny CLIP in eval mode, fp32 (stored as fp16)."""
    model = build()
    state = load_file(path or weights_path())
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval()

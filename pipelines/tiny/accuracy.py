"""Zero-shot accuracy of the tiny CLIP on held-out scenes whose truth is known."""

import torch
import torch.nn.functional as F

from nhd_ops.fidelity import zero_shot
from pipelines.io.preprocess import preprocess_of
from pipelines.model_spec import ModelSpec
from pipelines.models import LoadedModel, text_embeddings
from pipelines.tiny import drawing, model
from pipelines.tiny.scenes import BACKGROUNDS, COLOURS, SHAPES, THINGS, Scene, sample_scene
from pipelines.vision import CLIP

HELD_OUT_SEED = 1_000_003
HELD_OUT = 2000


def held_out_accuracy(
    clip: CLIP, count: int = HELD_OUT, seed: int = HELD_OUT_SEED
) -> dict[str, float]:
    """Top-1 accuracy on `count` single-object scenes, classes in open_clip's 80 templates."""
    scenes = [sample_scene(seed, index, objects=1) for index in range(count)]
    embedding = _embed(clip, scenes)
    loaded = LoadedModel(
        clip,
        model.preprocess(),
        preprocess_of(model.preprocess()),
        model.tokenizer(),
        "",
        ModelSpec(),
    )
    colours, shapes = tuple(COLOURS), SHAPES
    tasks = {
        "colour": (list(colours), [colours.index(s.items[0].colour) for s in scenes]),
        "background": (list(BACKGROUNDS), [BACKGROUNDS.index(s.background) for s in scenes]),
        "shape": (list(shapes), [shapes.index(s.items[0].shape) for s in scenes]),
        "colour_and_shape": (
            list(THINGS),
            [THINGS.index(f"{s.items[0].colour} {s.items[0].shape}") for s in scenes],
        ),
    }
    return {
        name: float(
            (zero_shot(embedding, text_embeddings(loaded, classes)) == torch.tensor(truth))
            .float()
            .mean()
        )
        for name, (classes, truth) in tasks.items()
    }


def _embed(clip: CLIP, scenes: list[Scene]) -> torch.Tensor:
    """Unit image embeddings [N,D], through JPEG and the model's own preprocessing."""
    import io

    from PIL import Image

    transform = model.preprocess()
    rows = []
    for start in range(0, len(scenes), 100):
        files = [drawing.jpeg_bytes(drawing.render(s)[0]) for s in scenes[start : start + 100]]
        pixels = torch.stack([transform(Image.open(io.BytesIO(data))) for data in files])
        with torch.inference_mode():
            rows.append(F.normalize(clip.encode_image(pixels), dim=-1))
    return torch.cat(rows)

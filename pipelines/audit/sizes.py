"""What is known of a model from its name alone: its units, and what an image takes on disk."""

from typing import NamedTuple

TOP_PAIRS = 256
NUMBER = 4  # bytes
REST = 60  # bytes of an image's keys, sizes and norms, encoded


class Sizes(NamedTuple):
    """Units of a model (nhd_ops/README.md has the letters)."""

    heads: int
    neurons: int
    width: int
    """D, of the embedding."""


def sizes_of(model: str) -> Sizes | None:
    """None for a name that is not known here; extraction says what is wrong with it."""
    from pipelines.tiny import model as tiny
    from pipelines.vision import open_clip

    if model == "tiny":
        return _sizes(tiny.VISION.width, tiny.VISION.head_width, tiny.EMBED_DIM)
    known = open_clip.get_model_config(model) if model.startswith("RN") else None
    if known is None:
        return None
    vision = known["vision_cfg"]
    return _sizes(vision["width"], vision.get("head_width", 64), known["embed_dim"])


def _sizes(width: int, head_width: int, embedding: int) -> Sizes:
    neurons = 32 * width  # of the last of a ModifiedResNet's four stages
    return Sizes(neurons // head_width, neurons, embedding)


def bytes_per_image(sizes: Sizes, concepts: int, lens: bool) -> float:
    """Of rows as they are written, without the samples' JSON (`nhd bench storage` has measured
    them)."""
    scores = concepts * (4 if lens else 3)
    return NUMBER * (sizes.width + TOP_PAIRS + scores) + REST

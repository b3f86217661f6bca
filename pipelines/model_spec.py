"""Which model is asked for, in words that load nothing: drivers need no more than these."""

from dataclasses import dataclass
from typing import Literal

How = Literal["fast", "exact"]
"""How images are prepared for it; see `pipelines.io.preprocess`."""


@dataclass(frozen=True)
class ModelSpec:
    """Which weights: a model name, a pretrained tag ("none" for random weights), or a file."""

    name: str = "tiny"
    pretrained: str | None = None
    checkpoint: str | None = None

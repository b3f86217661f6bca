"""`nhd train`: its arguments, and what it calls."""

import json
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Train:
    """Train the tiny CLIP on generated scenes."""

    out: str
    """The safetensors file to write; its record goes beside it as JSON."""
    seed: int = 0
    """Seed of the scenes, the captions and the initial weights."""
    scenes: int = 40_000
    """How many different scenes."""
    steps: int = 2400
    """Steps of the one-cycle schedule."""
    batch_size: int = 256
    """Scenes per step."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; bfloat16 autocast is used on both."""

    def __call__(self) -> None:
        from pipelines.tiny.train import Training, train_to

        plan = Training(
            seed=self.seed,
            scenes=self.scenes,
            steps=self.steps,
            batch_size=self.batch_size,
            device=self.device,
        )
        record = train_to(plan, self.out)
        print(json.dumps(record, indent=2))

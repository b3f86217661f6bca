"""What the user asks of an extraction, parsed; `nhd extract --help` explains each of it."""

from dataclasses import dataclass

from pipelines.model_spec import How, ModelSpec
from pipelines.run.lease import LEASE
from pipelines.run.resources import OPEN, Resources


@dataclass(frozen=True)
class Plan:
    """One extraction."""

    data: str
    out: str
    model: ModelSpec
    concepts: tuple[str, ...] = ()
    lens: str | None = None
    pairs_per_concept: int = 5
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    bucket: str | None = None
    top_pairs: int = 256
    keep: str = "sparse"
    dtype: str = "float32"
    batch_size: int = 0
    device: str = "auto"
    preprocess: How = "fast"
    resources: Resources = OPEN
    decode_threads: int = 0
    in_process: bool = False
    lease: float = LEASE
    redo_changed: bool = False

"""What a worker is told: the settings of the job once, then one group of shards at a time."""

from dataclasses import dataclass
from typing import Any

from pipelines.lens.lens import LensAt
from pipelines.model_spec import How, ModelSpec


@dataclass(frozen=True)
class Settings:
    """What every worker must know; all of it goes into run.json, of the lens its id."""

    out: str
    model: ModelSpec
    concepts: tuple[str, ...]
    pairs_per_concept: int
    columns: dict[str, str]
    """Metadata column → type name, labels included."""
    labels: tuple[str, ...]
    bucket: str | None
    top_pairs: int
    keep: str
    dtype: str
    batch_size: int
    device: str
    preprocess: How
    decode_threads: int
    lens: LensAt | None = None
    """What images are scored through; `concepts` and `pairs_per_concept` are then its own."""
    holder: tuple[Any, ...] | None = None
    """Who must hold the folder's lock while files are written (see `holder.check`)."""


@dataclass(frozen=True)
class Group:
    """Shards that are leased and committed together: (shard id, URL) in order of id."""

    shards: tuple[tuple[str, str], ...]

"""The second pass over a reference sample: a group of shards in, moments of the candidates out."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import normalize

from nhd_ops.candidates import Candidates
from nhd_ops.second_moments import SecondMoments, merge, second_moments_of
from pipelines.errors import UsageError
from pipelines.extract.again import Decomposed, Dense, Images
from pipelines.extract.decomposer import Decomposer
from pipelines.io.files import atomic_write, sha256
from pipelines.io.store import Run
from pipelines.io.stream import Clock
from pipelines.io.urls import without_secrets
from pipelines.model_spec import How, ModelSpec
from pipelines.models import load_model
from pipelines.run import holder, log
from pipelines.run.runner import Done

CANDIDATES = "candidates.safetensors"
FOLDER = "work"
APART = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""How far a similarity may be from the run's own: other devices and batches round otherwise."""


class Item(NamedTuple):
    """Shards whose moments the run keeps together, and so does this pass."""

    name: str
    """Of the file that is written."""
    shards: tuple[tuple[str, str], ...]
    """(shard id, URL), in order of id."""


@dataclass(frozen=True)
class Settings:
    """What every worker needs to know."""

    run: str
    out: str
    model: ModelSpec
    preprocess: How
    dtype: str
    concepts: tuple[tuple[str, str], ...]
    """(slug, text)."""
    source: Literal["images", "dense"]
    folds: int
    batch_size: int
    device: str
    decode_threads: int = 0
    holder: tuple[Any, ...] | None = None
    """Who must hold the lens's lock while files are written (see `holder.check`)."""


def fold_of(key: str, folds: int) -> int:
    """The part that an image falls into, by its key alone: whatever its shard, batch or worker."""
    return int(sha256(key.encode(errors="surrogateescape"))[:12], 16) % folds


class Calibrator:
    """A worker: holds the model and the candidates. Built once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.run, self.out = Run(settings.run), Run(settings.out)
        spec, device = settings.model, settings.device
        loaded = load_model(
            spec.name, spec.pretrained, spec.checkpoint, device, settings.preprocess
        )
        texts = tuple(text for _, text in settings.concepts)
        decomposer = Decomposer(loaded, texts, 1, settings.dtype, device)
        self.texts = decomposer.texts  # [Q,D]
        self.source: Images | Dense = (
            Images(decomposer, settings.batch_size, settings.decode_threads)
            if settings.source == "images"
            else Dense(self.run, decomposer.geometry.norms)
        )
        found = read_candidates(self.out)
        self.pairs, self.admitted = found.pairs.to(device), (found.r > 0).to(device)
        self.clock = Clock()
        self.images = 0

    def describe(self) -> dict[str, Any]:
        """Nothing that the driver does not know."""
        return {}

    def progress(self) -> dict[str, Any]:
        """Running totals since this worker started."""
        seconds = dict(self.clock.seconds)
        return {"images": self.images, "rejects": 0, "seconds": seconds, "notes": []}

    def work(self, item: Item) -> Done:
        """Write the moments of some shards, which hold at least one image."""
        parts = []
        for shard, url in item.shards:
            with log.shard(shard):
                parts.append(self._shard(shard, url))
        total = parts[0]
        for part in parts[1:]:
            total = merge(total, part)
        if self.settings.holder is not None:
            holder.check(self.out, self.settings.holder)
        write_moments(self.out, item.name, total)
        return Done(item.name)

    def _shard(self, shard: str, url: str) -> SecondMoments:
        """UsageError if the images are no longer those of the run."""
        record = json.loads(self.run.read("shards", f"{shard}.json"))
        rows = _Rows(self.run, shard, [slug for slug, _ in self.settings.concepts])
        known = set(rows.keys)
        seen: Counter[str] = Counter()
        keys: list[str] = []
        total: SecondMoments | None = None
        name = url if isinstance(self.source, Images) else shard
        with torch.inference_mode():
            for batch in self.source.batches(
                name, lambda key, _: key if key in known else None, seen, self.clock
            ):
                start = time.perf_counter()
                similarity = normalize(batch.embedding, dim=1) @ self.texts.T
                if not rows.agree(similarity, len(keys), batch.told, APART[self.settings.dtype]):
                    raise _changed(url)
                part = self._moments(batch, similarity)
                total = part if total is None else merge(total, part)
                keys += batch.told
                self.images += len(batch.told)
                self.clock.add("forward", start)
        read = record["read"] if isinstance(self.source, Images) else record["written"]
        if keys != rows.keys or seen["read"] != read or total is None:
            raise _changed(url)
        return total

    def _moments(self, batch: Decomposed, similarity: Tensor) -> SecondMoments:
        chosen = batch.coefficients.flatten(1)[:, self.pairs] * self.admitted  # [B,Q,K]
        folds = [fold_of(key, self.settings.folds) for key in batch.told]
        values = torch.cat([chosen, similarity[:, :, None]], dim=2)
        fold = torch.tensor(folds, device=values.device)
        return SecondMoments(
            *(part.cpu() for part in second_moments_of(values, fold, self.settings.folds))
        )


class _Rows:
    """What the run says of a shard's images."""

    def __init__(self, run: Run, shard: str, slugs: Sequence[str]) -> None:
        names = [f"similarity_{slug}" for slug in slugs]
        table = run.table(f"images/{shard}.parquet", ["key", *names])
        self.keys: list[str] = table["key"].to_pylist()
        columns = [torch.tensor(table[name].to_numpy()) for name in names]
        self.similarity = torch.stack(columns, dim=1)  # [B,Q]

    def agree(self, similarity: Tensor, start: int, keys: list[str], apart: float) -> bool:
        """Are the rows from `start` on of these images, and their similarities [b,Q] these?"""
        end = start + len(keys)
        if keys != self.keys[start:end]:
            return False
        return bool((similarity.cpu() - self.similarity[start:end]).abs().max() <= apart)


def write_candidates(out: Run, found: Candidates) -> None:
    """For all workers."""
    atomic_write(out.at(CANDIDATES), save(found._asdict()))


def read_candidates(out: Run) -> Candidates:
    """The inverse of `write_candidates`."""
    return Candidates(**load(out.read(CANDIDATES)))


def write_moments(out: Run, name: str, moments: SecondMoments) -> None:
    """The result of an item."""
    tensors = {key: part.contiguous() for key, part in moments._asdict().items()}
    atomic_write(out.at(FOLDER, name), save(tensors))


def read_moments(out: Run, name: str) -> SecondMoments:
    """The inverse of `write_moments`."""
    return SecondMoments(**load(out.read(FOLDER, name)))


def _changed(url: str) -> UsageError:
    return UsageError(
        f"the images of {without_secrets(url)} are no longer those that the run was made from; "
        "run nhd extract --redo-changed, and calibrate again"
    )

"""One shard in, its counts out: every setting's right answers on the same pass over the images."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from nhd_ops.fidelity import zero_shot
from pipelines.errors import ShardError
from pipelines.evaluate import setup
from pipelines.evaluate.arms import arms_of
from pipelines.evaluate.design import Design
from pipelines.evaluate.truth import Truth
from pipelines.extract.again import Decomposed, Dense, Images
from pipelines.extract.decomposer import Decomposer
from pipelines.io.store import Run
from pipelines.io.stream import Clock
from pipelines.io.urls import fingerprint
from pipelines.model_spec import How, ModelSpec
from pipelines.models import load_model
from pipelines.run import log
from pipelines.run.runner import Done

SEEN = ("read", "rejected", "unlabelled", "unknown")


@dataclass(frozen=True)
class Settings:
    """What every worker needs to know."""

    run: str
    out: str
    model: ModelSpec
    preprocess: How
    source: Literal["images", "dense"]
    truth: Truth
    design: Design
    batch_size: int
    device: str
    decode_threads: int = 0


class Evaluator:
    """A worker: holds the model and all experiments. Built once per process."""

    def __init__(self, settings: Settings) -> None:
        spec, device = settings.model, settings.device
        loaded = load_model(
            spec.name, spec.pretrained, spec.checkpoint, device, settings.preprocess
        )
        decomposer = Decomposer(loaded, (), 1, "float32", device)
        directions = decomposer.geometry.directions
        self.source: Images | Dense = (
            Images(decomposer, settings.batch_size, settings.decode_threads)
            if settings.source == "images"
            else Dense(Run(settings.run), decomposer.geometry.norms)
        )
        self.truth = settings.truth
        out, design = Run(settings.out), settings.design
        tables = setup.read_tables(out, device)
        self.mean, self.classes = tables["mean"], tables["classes"]
        self.centre = directions.total(self.mean[None])  # [1,D], M̄
        self.arms = arms_of(design, directions, tables, setup.read_texts(out, design, device))
        self.clock = Clock()
        self.images, self.rejected = 0, 0

    def describe(self) -> dict[str, Any]:
        """Nothing that the driver does not know."""
        return {}

    def progress(self) -> dict[str, Any]:
        """Running totals since this worker started."""
        seconds = dict(self.clock.seconds)
        return {"images": self.images, "rejects": self.rejected, "seconds": seconds, "notes": []}

    def work(self, item: tuple[str, str]) -> Done:
        """Count a shard, given its id and URL."""
        with log.shard(item[0]) as told:
            counts = self._counts_of(*item)
            told |= {name: counts[name] for name in SEEN}
        return Done(counts)

    def _counts_of(self, shard: str, url: str) -> dict[str, Any]:
        source = fingerprint(url) if isinstance(self.source, Images) else None
        seen, counts = Counter(dict.fromkeys(SEEN, 0)), _Counts()
        name = url if isinstance(self.source, Images) else shard

        def tell(_: str, fields: dict[str, Any]) -> int | None:
            return self.truth.of(fields, seen)

        with torch.inference_mode():
            for batch in self.source.batches(name, tell, seen, self.clock):
                start = time.perf_counter()
                self._count(batch, counts)
                self.images += len(batch.told)
                self.clock.add("forward", start)
        self.rejected += seen["rejected"]
        return {"shard": shard, "source": source, **seen, **counts.as_json()}

    def _count(self, batch: Decomposed, counts: "_Counts") -> None:
        if not bool(batch.embedding.isfinite().all()):
            raise ShardError("an embedding is not finite, so nothing can be told from it")
        original = zero_shot(batch.embedding, self.classes)
        if batch.reference is not None:
            same = zero_shot(batch.reference.float(), self.classes) == original
            counts.check(len(original), int(same.sum()))
        centred, whole = batch.coefficients - self.mean, batch.embedding - self.centre
        found, errors = [original[None]], [whole.new_zeros(1)]
        for arm in self.arms:
            shifts = arm.shifts(centred)  # [S,B,D]
            found.append(_classes(self.centre + shifts, self.classes))
            errors.append((shifts - whole).square().sum((1, 2)))
        counts.add(torch.cat(found), original, original.new_tensor(batch.told))
        counts.spread += float(whole.square().sum())
        counts.error = counts.error + torch.cat(errors).double()


def _classes(embeddings: Tensor, texts: Tensor) -> Tensor:
    """[S,B,D] → [S,B]; as the texts have unit length, the embeddings' need not be 1."""
    return (embeddings @ texts.T).argmax(2)


class _Counts:
    """Of one shard: for every setting, how many are right, and how many are as the original's.

    And Σ‖M' - M‖², the error of the embeddings, beside `spread`, their Σ‖M - M̄‖².
    """

    def __init__(self) -> None:
        self.images = self.checked = self.equal = 0
        self.correct: Tensor | int = 0
        self.agree: Tensor | int = 0
        self.error: Tensor | int = 0
        self.spread = 0.0

    def add(self, predictions: Tensor, original: Tensor, truth: Tensor) -> None:
        """Predictions [S,B] of all settings."""
        self.images += len(truth)
        self.correct = self.correct + (predictions == truth).sum(1)
        self.agree = self.agree + (predictions == original).sum(1)

    def check(self, images: int, equal: int) -> None:
        """So many images were also classified by `encode_image`, so many as here."""
        self.checked += images
        self.equal += equal

    def as_json(self) -> dict[str, Any]:
        """Empty lists where no image counted."""
        lists = {"correct": self.correct, "agree": self.agree, "error": self.error}
        return {
            "images": self.images,
            "checked": self.checked,
            "equal": self.equal,
            "spread": self.spread,
            **{k: v.tolist() if isinstance(v, Tensor) else [] for k, v in lists.items()},
        }

"""Decoded images in; rows, moments and rejects out, on as many at a time as memory holds."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nhd_ops import concepts
from nhd_ops.accumulator import Accumulator
from nhd_ops.moments import Moments
from pipelines.errors import Incomplete, UsageError
from pipelines.extract import batch_size
from pipelines.extract.decomposer import Decomposer
from pipelines.extract.settings import Settings
from pipelines.io import rows
from pipelines.io.images import Decoded
from pipelines.io.preprocess import stacked
from pipelines.io.rejects import Reject

BUCKETS = 256


class Measured(NamedTuple):
    """What came of some images; no rows where the model gave no finite output."""

    rows: rows.Batch | None
    rejects: list[Reject]


class Measurer:
    """A decomposer with what the job asks of each image."""

    def __init__(self, decomposer: Decomposer, settings: Settings) -> None:
        self.decomposer, self.settings = decomposer, settings
        self.accumulator = Accumulator(decomposer.geometry)
        self.dense = settings.keep == "dense"
        self.fits = settings.batch_size or self._probed()
        self.notes: list[str] = []
        self.buckets: set[str] = set()

    def _probed(self) -> int:
        """Images per forward pass that this device is fastest with."""
        if not self.settings.device.startswith("cuda"):
            return batch_size.ON_CPU
        side = self.decomposer.loaded.pixels.size
        device = self.settings.device

        def run(size: int) -> None:
            with torch.inference_mode():
                pixels = torch.zeros(size, 3, side, side, device=device)
                self.decomposer.trunk(pixels)

        found = batch_size.probed(batch_size.timed(run, torch.cuda.synchronize))
        torch.cuda.empty_cache()
        return found

    def measure(self, items: list[Decoded | Reject], first_id: int) -> Iterator[Measured]:
        """Measure a batch; the images that become rows are numbered from `first_id`.

        Batches are halved when memory runs out, and kept small from then on. Raises Incomplete if
        one image is too much.
        """
        good, bad = self._admit(items)
        yield Measured(None, bad)
        waiting = [good] if good else []
        while waiting:
            part = waiting.pop(0)
            if len(part) > self.fits:
                waiting[:0] = [part[: self.fits], part[self.fits :]]
                continue
            found = self._attempt(part, first_id)
            if found is None:
                self._shrink(len(part))
                waiting.insert(0, part)
                continue
            first_id += len(found.rows.samples) if found.rows is not None else 0
            yield found

    def moments(self) -> Moments | None:
        """Of all rows since the last call; None if there were none."""
        while True:
            try:
                return self.accumulator.take()
            except (RuntimeError, MemoryError) as error:
                if not batch_size.is_out_of_memory(error):
                    raise
            self._shrink(self.accumulator.images)

    def forget(self) -> None:
        """Drop what was measured since the last call of `moments`."""
        self.accumulator = Accumulator(self.decomposer.geometry, self.accumulator.images)

    def _attempt(self, items: list[Decoded], first_id: int) -> Measured | None:
        """None if memory ran out; by then nothing refers to what was computed."""
        try:
            return self._batch(items, first_id)
        except (RuntimeError, MemoryError) as error:
            if not batch_size.is_out_of_memory(error):
                raise
            return None

    def _shrink(self, size: int) -> None:
        if size == 1:
            raise Incomplete(
                f"one image does not fit into the memory of {self.settings.device}; take a smaller "
                "model, --dtype bfloat16 or a larger device, and run the same command again"
            )
        self.fits = min(self.fits, size // 2)
        self.accumulator.shrink(min(self.accumulator.images, self.fits))
        self.notes.append(f"memory ran out: batches are now of {self.fits} images")
        if self.settings.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _admit(self, items: list[Decoded | Reject]) -> tuple[list[Decoded], list[Reject]]:
        """Set aside what cannot go on: rejects so far, and samples without a usable label."""
        good: list[Decoded] = []
        bad: list[Reject] = []
        for item in items:
            if isinstance(item, Reject):
                bad.append(item)
            elif problem := _label_problem(item, self.settings.labels):
                bad.append(problem)
            else:
                good.append(item)
        return good, bad

    def _batch(self, items: list[Decoded], first_id: int) -> Measured:
        pixels = self._pixels(items)
        with torch.inference_mode():
            coefficients, embedding = self.decomposer.forward(pixels)
            finite = coefficients.flatten(1).isfinite().all(1) & embedding.isfinite().all(1)
            lost = [
                Reject(item.sample.key, "not_finite", "the model's output is not finite")
                for item, ok in zip(items, finite.tolist(), strict=True)
                if not ok
            ]
            kept = [item for item, ok in zip(items, finite.tolist(), strict=True) if ok]
            if not kept:
                return Measured(None, lost)
            coefficients, embedding = coefficients[finite], embedding[finite]
            measures = self.decomposer.measures(coefficients, embedding)
            found = self._rows(kept, coefficients, embedding, measures)
            self._add(coefficients, kept, measures.similarity, first_id)  # last: it may not repeat
            return Measured(found, lost)

    def _pixels(self, items: list[Decoded]) -> Tensor:
        """What the model takes: fp32 [B,3,S,S] on its device, moved there as uint8."""
        batch = stacked([item.pixels for item in items])
        if self.settings.device.startswith("cuda"):
            batch = batch.pin_memory().to(self.settings.device, non_blocking=True)
        return self.decomposer.loaded.pixels.normalise(batch)

    def _add(
        self, coefficients: Tensor, kept: list[Decoded], similarity: Tensor, first_id: int
    ) -> None:
        fields = [item.sample.fields for item in kept]
        labels = torch.tensor([[bool(f[name]) for name in self.settings.labels] for f in fields])
        ids = torch.arange(first_id, first_id + len(kept), device=coefficients.device)
        self.accumulator.add(
            coefficients,
            ids,
            similarity,
            labels.to(coefficients.device).view(len(kept), -1),
            self._buckets(fields),
        )

    def _buckets(self, fields: list[dict[str, Any]]) -> list[str]:
        """Each image's bucket, named after the value in its row; "None" where it has none.

        Raises UsageError for more buckets than there should be moments of.
        """
        name = self.settings.bucket
        if name is None:
            return []
        kind = self.settings.columns[name]
        found = [str(rows.fit_type(f.get(name), kind)) for f in fields]
        self.buckets.update(found)
        if len(self.buckets) > BUCKETS:
            raise UsageError(
                f"the field '{name}' has over {BUCKETS} values; --buckets keeps moments for each "
                "of them, choose a field with fewer"
            )
        return found

    def _rows(
        self, kept: list[Decoded], coefficients: Tensor, embedding: Tensor, measures: Any
    ) -> rows.Batch:
        signed = coefficients * self.decomposer.geometry.norms  # [B,H,C]
        flat = signed.flatten(1)
        top = min(self.settings.top_pairs, flat.shape[1])
        norms, pairs = flat.abs().topk(top, dim=1)
        grounded = self.decomposer.grounded(coefficients)
        return rows.Batch(
            [item.sample for item in kept],
            [(item.width, item.height) for item in kept],
            embedding.cpu(),
            pairs.int().cpu(),
            flat.gather(1, pairs).half().float().cpu(),
            flat.abs().sum(1).cpu(),
            norms.sum(1).cpu(),
            concepts.Measures(*(value.cpu() for value in measures)),
            signed.half().float().cpu() if self.dense else None,
            None if grounded is None else grounded.cpu(),
        )


def _label_problem(item: Decoded, labels: tuple[str, ...]) -> Reject | None:
    for name in labels:
        value = item.sample.fields.get(name)
        if value is None:
            return Reject(item.sample.key, "missing_label", f"no field '{name}'")
        if value not in (0, 1):
            seen = rows.fit_type(value, "string")
            return Reject(item.sample.key, "label_not_boolean", f"{name}={seen}")
    return None

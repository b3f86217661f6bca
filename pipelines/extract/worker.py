"""One group of shards in, one committed result out; the worker that holds the model.

The group is usually one shard. Image files are written shard by shard, the group's moments last,
and then the commit records (see `pipelines.io.store`), so a worker that dies leaves nothing that a
reader would see.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from nhd_ops import concepts, moments
from pipelines.extract.decomposer import Decomposer
from pipelines.extract.settings import Group, Settings
from pipelines.io import rows
from pipelines.io.images import Decoded
from pipelines.io.shards import Reject
from pipelines.io.store import REJECTS, Run, sha256, write_json, write_parquet
from pipelines.io.stream import Clock, batches
from pipelines.models import load_model


class Extractor:
    """A worker: holds the model, turns groups into files. Built once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.run = Run(settings.out)
        spec = settings.model
        loaded = load_model(spec.name, spec.pretrained, spec.checkpoint, settings.device)
        self.decomposer = Decomposer(
            loaded,
            settings.concepts,
            settings.pairs_per_concept,
            settings.dtype,
            settings.device,
        )
        self.transform = loaded.preprocess
        self.threads = ThreadPoolExecutor(settings.decode_threads)
        self.clock = Clock()
        self.images, self.rejected = 0, 0
        dense = self.decomposer.geometry.directions.heads if settings.keep == "dense" else 0
        self.layout = rows.Layout(settings.columns, rows.slugs(settings.concepts), dense)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What every file says of its origin: run.json."""
        return {"nhd": self.run.info}

    def describe(self) -> dict[str, Any]:
        """See Decomposer."""
        return self.decomposer.describe()

    def progress(self) -> dict[str, Any]:
        """Running totals since this worker started."""
        return {
            "images": self.images,
            "rejects": self.rejected,
            "seconds": dict(self.clock.seconds),
        }

    def work(self, group: Group) -> list[dict[str, Any]]:
        """Extract and commit a group; return the commit records of its shards."""
        total: moments.Moments | None = None
        records = []
        first_id = 0
        for shard, url in group.shards:
            record, part = self._shard(shard, url, first_id)
            records.append(record | {"moments": group.name})
            first_id += record["written"]
            if part is not None:
                total = part if total is None else moments.merge(total, part)
        if total is not None:
            self.run.write_moments(group.name, total, {"records": records})
        for record in records:
            record["moments"] = None if total is None else group.name
            write_json(self.run.at("shards", f"{record['shard']}.json"), record)
        return records

    def _shard(
        self, shard: str, url: str, first_id: int
    ) -> tuple[dict[str, Any], moments.Moments | None]:
        before = dict(self.clock.seconds)
        done: list[rows.Batch] = []
        rejects: list[Reject] = []
        total: moments.Moments | None = None
        written = 0
        settings = self.settings
        stream = batches(url, self.transform, settings.batch_size, self.threads, self.clock)
        for items in stream:
            start = time.perf_counter()
            good, bad = self._admit(items)
            batch, part, lost = self._batch(good, first_id + written) if good else (None, None, [])
            rejects += bad + lost
            if batch is not None and part is not None:
                done.append(batch)
                written += len(batch.samples)
                total = part if total is None else moments.merge(total, part)
            self.images += len(items)
            self.rejected += len(bad) + len(lost)
            self.clock.add("forward", start)
        files = self._write(shard, done, rejects)
        spent = {k: round(v - before[k], 3) for k, v in self.clock.seconds.items()}
        return _record(shard, url, written, rejects, spent, files), total

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

    def _batch(
        self, items: list[Decoded], first_id: int
    ) -> tuple[rows.Batch | None, moments.Moments | None, list[Reject]]:
        pixels = torch.stack([item.pixels for item in items]).to(self.settings.device)
        with torch.inference_mode():
            coefficients, embedding = self.decomposer.forward(pixels)
            finite = coefficients.flatten(1).isfinite().all(1) & embedding.isfinite().all(1)
            lost = [
                Reject(item.sample.key, "forward", "not_finite", "the model's output is not finite")
                for item, ok in zip(items, finite.tolist(), strict=True)
                if not ok
            ]
            kept = [item for item, ok in zip(items, finite.tolist(), strict=True) if ok]
            if not kept:
                return None, None, lost
            coefficients, embedding = coefficients[finite], embedding[finite]
            measures = self.decomposer.measures(coefficients, embedding)
            part = self._moments(coefficients, kept, measures.similarity, first_id)
            return self._rows(kept, coefficients, embedding, measures), part, lost

    def _moments(
        self, coefficients: Tensor, kept: list[Decoded], similarity: Tensor, first_id: int
    ) -> moments.Moments:
        fields = [item.sample.fields for item in kept]
        labels = torch.tensor([[bool(f[name]) for name in self.settings.labels] for f in fields])
        ids = torch.arange(first_id, first_id + len(kept), device=coefficients.device)
        bucket = self.settings.bucket
        return moments.moments_of(
            coefficients,
            self.decomposer.geometry,
            ids,
            similarity=similarity,
            labels=labels.to(coefficients.device).view(len(kept), -1),
            buckets=[str(f.get(bucket)) for f in fields] if bucket else None,
        )

    def _rows(
        self, kept: list[Decoded], coefficients: Tensor, embedding: Tensor, measures: Any
    ) -> rows.Batch:
        signed = coefficients * self.decomposer.geometry.norms  # [B,H,C]
        flat = signed.flatten(1)
        top = min(self.settings.top_pairs, flat.shape[1])
        norms, pairs = flat.abs().topk(top, dim=1)
        return rows.Batch(
            [item.sample for item in kept],
            [(item.width, item.height) for item in kept],
            embedding.cpu(),
            pairs.int().cpu(),
            flat.gather(1, pairs).half().float().cpu(),
            flat.abs().sum(1).cpu(),
            norms.sum(1).cpu(),
            concepts.Measures(*(value.cpu() for value in measures)),
            signed.half().float().cpu() if self.layout.dense_heads else None,
        )

    def _write(
        self, shard: str, done: list[rows.Batch], rejects: list[Reject]
    ) -> dict[str, dict[str, Any]]:
        start = time.perf_counter()
        table = rows.table(shard, done, self.layout)
        files = {}
        path = f"images/{shard}.parquet"
        data = write_parquet(self.run.at(path), table, self.provenance)
        files["images"] = {"path": path, "bytes": len(data), "sha256": sha256(data)}
        if rejects:
            path = f"rejects/{shard}.parquet"
            listed = [(shard, r.key, r.stage, r.reason, r.detail) for r in rejects]
            columns = [pa.array(column, pa.string()) for column in zip(*listed, strict=True)]
            rejected = pa.Table.from_arrays(columns, schema=REJECTS)
            data = write_parquet(self.run.at(path), rejected, self.provenance)
            files["rejects"] = {"path": path, "bytes": len(data), "sha256": sha256(data)}
        self.clock.add("write", start)
        return files


def _label_problem(item: Decoded, labels: tuple[str, ...]) -> Reject | None:
    for name in labels:
        value = item.sample.fields.get(name)
        if value is None:
            return Reject(item.sample.key, "label", "missing_label", f"no field '{name}'")
        if value not in (0, 1):
            return Reject(item.sample.key, "label", "label_not_boolean", f"{name}={value!r}"[:200])
    return None


def _record(
    shard: str,
    url: str,
    written: int,
    rejects: list[Reject],
    seconds: dict[str, float],
    files: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    return {
        "shard": shard,
        "url": url,
        "read": written + len(rejects),
        "written": written,
        "rejected": len(rejects),
        "reasons": dict(Counter(reject.reason for reject in rejects)),
        "seconds": seconds,
        "files": files,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }

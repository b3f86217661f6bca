"""One group of shards in, one result out that the driver can commit; the worker with the model.

Image files are written shard by shard, the group's moments last (see `pipelines.io.commit`), so a
worker that dies leaves nothing that a reader would see.
"""

import ctypes
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import Any

from nhd_ops import moments
from pipelines.errors import ShardError
from pipelines.extract.chosen_lens import must_fit
from pipelines.extract.decomposer import Decomposer
from pipelines.extract.measurer import Measurer
from pipelines.extract.settings import Group, Settings
from pipelines.extract.shard_files import ShardFiles
from pipelines.io import rows
from pipelines.io.files import sha256
from pipelines.io.images import Transform
from pipelines.io.store import Run
from pipelines.io.stream import Clock, batches
from pipelines.io.urls import fingerprint, without_secrets
from pipelines.models import load_model
from pipelines.run import holder, log
from pipelines.run.cores import decode_threads
from pipelines.run.identity import BEGUN, KEY
from pipelines.run.runner import Done


class Extractor:
    """A worker: holds the model, turns groups into files. Built once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.leaving = False
        self.run = Run(settings.out)
        spec = settings.model
        loaded = load_model(
            spec.name, spec.pretrained, spec.checkpoint, settings.device, settings.preprocess
        )
        lens = settings.lens.read() if settings.lens else None
        if lens is not None:
            must_fit(lens, loaded.weights_sha256, loaded.preprocess_id)
        self.decomposer = Decomposer(
            loaded,
            settings.concepts,
            settings.pairs_per_concept,
            settings.dtype,
            settings.device,
            lens,
        )
        self.transform: Transform = loaded.pixels
        self.threads = ThreadPoolExecutor(decode_threads(settings.decode_threads))
        self.clock = Clock()
        self.images = self.bytes = 0
        self.reasons: Counter[str] = Counter()
        self.measurer = Measurer(self.decomposer, settings)
        self.batch = self.measurer.fits
        dense = self.decomposer.geometry.directions.heads if settings.keep == "dense" else 0
        slugs = rows.slugs(settings.concepts)
        self.layout = rows.Layout(settings.columns, slugs, dense, lens is not None)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What every file says of its origin: run.json, but for the run's id and beginning.

        So the same shards give the same bytes in every run.
        """
        return {"nhd": {k: v for k, v in self.run.info.items() if k not in (KEY, BEGUN)}}

    def describe(self) -> dict[str, Any]:
        """See Decomposer."""
        return self.decomposer.describe()

    def progress(self) -> dict[str, Any]:
        """Running totals since this worker started."""
        reasons = dict(self.reasons)
        return {
            "images": self.images,
            "rejects": sum(reasons.values()),
            "reasons": reasons,
            "bytes": self.bytes,
            "seconds": dict(self.clock.seconds),
            "notes": list(self.measurer.notes),
        }

    def work(self, group: Group) -> Done:
        """Extract a group and write all but its commit records, which are the driver's to write.

        A shard that cannot be read fails alone: the others make up the group. Where the node is
        about to go, what is done makes up the group, and the rest is handed back.
        """
        total: moments.Moments | None = None
        records: list[dict[str, Any]] = []
        failed: list[tuple[Group, Exception]] = []
        first_id = 0
        left: tuple[Group, ...] = ()
        for index, (shard, url) in enumerate(group.shards):
            if self.leaving and records:
                left = (Group(group.shards[index:]),)
                break
            try:
                with log.shard(shard) as told:
                    record, part = self._shard(shard, url, first_id)
                    told |= {"written": record["written"], "rejected": record["rejected"]}
            except ShardError as error:
                failed.append((Group(((shard, url),)), error))
                continue
            records.append(record)
            first_id += record["written"]
            if part is not None:
                total = part if total is None else moments.merge(total, part)
        done = Done(self._finished(records, total), tuple(failed), left)
        _trim()
        return done

    def _finished(
        self, records: list[dict[str, Any]], total: moments.Moments | None
    ) -> list[dict[str, Any]]:
        shards = [record["shard"] for record in records]
        name = None if total is None else _moments_name(shards)
        records = [record | {"moments": name, "group": shards} for record in records]
        if total is not None and name is not None:
            start = time.perf_counter()
            self._check_holder()
            self.run.write_moments(name, total, {"records": records})
            self.clock.add("write", start)
        return records

    def _shard(
        self, shard: str, url: str, first_id: int
    ) -> tuple[dict[str, Any], moments.Moments | None]:
        before = dict(self.clock.seconds)
        source = _source(url)
        files = ShardFiles(self.run, shard, self.layout, self.provenance)
        size = self.batch
        self.measurer.forget()  # a shard that failed on its way may have left something
        with closing(batches(url, self.transform, size, self.threads, self.clock)) as stream:
            for items in stream:
                start = time.perf_counter()
                for found in self.measurer.measure(items, first_id + files.written):
                    files.add(found.rows, found.rejects)
                self.images += len(items)
                self.clock.add("forward", start)
        if _source(url) != source:
            raise ShardError(f"{without_secrets(url)} changed while it was read")
        start = time.perf_counter()
        total = self.measurer.moments()
        self.clock.add("forward", start)
        start = time.perf_counter()
        self._check_holder()
        record = files.finish()
        self.reasons.update(record["reasons"])
        self.bytes += max(0, source["size"])
        self.clock.add("write", start)
        spent = {k: round(v - before[k], 3) for k, v in self.clock.seconds.items()}
        record |= {"url": without_secrets(url), "source": source, "seconds": spent}
        return record | {"batch_size": self.measurer.fits, "host": socket.gethostname()}, total

    def _check_holder(self) -> None:
        if self.settings.holder is not None:
            holder.check(self.run, self.settings.holder)


def _trim() -> None:
    """Hand freed memory back to the system; glibc keeps what its many threads left scattered."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _source(url: str) -> dict[str, Any]:
    """The size and version of a shard; ShardError where it cannot be had."""
    try:
        return fingerprint(url)
    except FileNotFoundError as error:
        raise ShardError(f"{without_secrets(url)} does not exist") from error
    except OSError as error:
        raise ShardError(f"{without_secrets(url)} cannot be reached: {error}") from error


def _moments_name(shards: list[str]) -> str:
    """The moments file of a group, a function of its shards only."""
    tail = f"-{len(shards)}-{sha256(' '.join(shards).encode())[:8]}" if len(shards) > 1 else ""
    return f"moments/{shards[0]}{tail}.safetensors"

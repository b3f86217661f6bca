"""One unit of work in, its result out for the driver to commit; the worker with the model."""

import re
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from pipelines.errors import ShardError
from pipelines.io.classes import Classes
from pipelines.io.files import atomic_write, sha256
from pipelines.io.rejects import Reject
from pipelines.io.store import Run
from pipelines.io.stream import Clock, prefetch
from pipelines.io.urls import without_secrets
from pipelines.model_spec import ModelSpec
from pipelines.models import load_model
from pipelines.run import holder, log
from pipelines.run.runner import Done
from pipelines.segment import palette
from pipelines.segment.options import Setting, View
from pipelines.segment.pictures import Scene, scenes
from pipelines.segment.segmenter import Segmenter
from pipelines.segment.unit_result import Maps, UnitResult
from pipelines.segment.units import Unit, version_now

LONGEST = 80  # characters of a part of a key in the name of a file


@dataclass(frozen=True)
class Told:
    """What every worker must know."""

    out: str
    model: ModelSpec
    classes: Classes
    settings: tuple[Setting, ...]
    view: View
    device: str
    ignore: int
    maps: bool
    holder: tuple[Any, ...] | None = None
    """Who must hold the folder's lock while maps are written (see `holder.check`)."""


class Finished(NamedTuple):
    """What goes to the driver: the unit's id, images and seconds by phase, the file to write."""

    id: str
    totals: dict[str, Any]
    data: bytes


class SegmentWorker:
    """A worker: holds the segmenter. Built once per process."""

    def __init__(self, told: Told) -> None:
        self.told, self.run = told, Run(told.out)
        spec = told.model
        self.loaded = load_model(spec.name, spec.pretrained, spec.checkpoint, told.device)
        self.segmenter = Segmenter(self.loaded, told.classes, told.settings, told.view, told.device)
        self.clock = Clock()
        self.images, self.rejected = 0, 0

    def describe(self) -> dict[str, Any]:
        """What only the model can tell."""
        return {
            "weights_sha256": self.loaded.weights_sha256,
            "preprocess_id": self.loaded.preprocess_id,
            "top_pairs": [self.segmenter.scorer.top_pairs(s) for s in self.told.settings],
        }

    def progress(self) -> dict[str, Any]:
        """Running totals since this worker started."""
        return {
            "images": self.images,
            "rejects": self.rejected,
            "seconds": dict(self.clock.seconds),
            "notes": [],
        }

    def work(self, unit: Unit) -> Done:
        """Segment a unit: its maps are written, its result is the driver's to write, last."""
        with log.shard(unit.id) as counts:
            finished = self._finished(unit)
            counts["images"] = finished.totals["images"]
        return Done(finished)

    def _finished(self, unit: Unit) -> Finished:
        told, before = self.told, dict(self.clock.seconds)
        classes = len(told.classes)
        result = UnitResult(len(told.settings), classes, unit.place, unit.source)
        with closing(prefetch(scenes(unit, classes, told.ignore, self.clock), 2)) as stream:
            for scene in stream:
                self.images += 1
                if isinstance(scene, Reject):
                    self.rejected += 1
                    result.rejects.append(scene)
                elif longer := self.segmenter.too_long(scene.image.size):
                    self.rejected += 1
                    detail = f"{scene.image.width} x {scene.image.height}, resized to {longer}"
                    result.rejects.append(Reject(scene.key, "too_long", detail))
                else:
                    self._segment(unit, scene, result)
        _unchanged(unit)
        result.seconds = {k: round(v - before[k], 3) for k, v in self.clock.seconds.items()}
        totals = {"images": result.counts["read"], "seconds": result.seconds}
        return Finished(unit.id, totals, result.to_bytes())

    def _segment(self, unit: Unit, scene: Scene, result: UnitResult) -> None:
        start = time.perf_counter()
        maps: Maps = self.segmenter.segment(scene.image).cpu().numpy().astype(np.uint8)
        self.clock.add("forward", start)
        start = time.perf_counter()
        result.add(scene, maps)
        if len(result.pictures) < unit.shown:
            result.show(scene, maps)
        if self.told.maps:
            if self.told.holder is not None:
                holder.check(self.run, self.told.holder)
            name = "/".join(part for part in ("maps", unit.place, file_name(scene.key)) if part)
            atomic_write(self.run.at(f"{name}.png"), palette.png(maps[0], len(self.told.classes)))
        self.clock.add("write", start)


def _unchanged(unit: Unit) -> None:
    try:
        same = version_now(unit) == unit.source
    except OSError as error:
        raise ShardError(f"{without_secrets(unit.url)} cannot be reached: {error}") from error
    if not same:
        raise ShardError(f"{without_secrets(unit.url)} changed while it was read")


def file_name(key: str) -> str:
    """A key as a path that stays inside its folder, another for every key.

    Odd characters, dots at the beginning of a part and slashes without one before are escaped.
    """
    return "/".join(_shortened(_escaped(part)) for part in key.split("/"))


def _escaped(part: str) -> str:
    return re.sub(r"^\.+", lambda dots: "%2E" * len(dots[0]), quote(part, safe=" ")) or "%2F"


def _shortened(part: str) -> str:
    if len(part) <= LONGEST:
        return part
    return f"{part[:LONGEST]}-{sha256(part.encode())[:8]}"

"""The run folders of an audit: what is asked of each, what of it is there, and extracting it."""

import json
import time
from dataclasses import dataclass
from typing import Any

from pipelines.audit.series import parsed
from pipelines.audit.settings import Settings
from pipelines.audit.step import Facts, Inputs
from pipelines.errors import Incomplete, UsageError
from pipelines.extract.plan import Plan
from pipelines.io.listing import expand
from pipelines.io.shards import shard_id
from pipelines.io.store import Run
from pipelines.io.urls import fingerprint, fingerprints, without_secrets


@dataclass(frozen=True)
class Extraction:
    """One run folder: its shards, and what they are scored with."""

    settings: Settings
    data: str
    out: str
    lens: str | None
    redo_changed: bool = False
    allowed: float = 0.0
    """Share of the shards that may fail."""
    fixed: bool = False
    """Has a lens been calibrated on it, so that no shard may come to it?"""

    @property
    def target(self) -> Run:
        """The run folder."""
        return Run(self.out)

    def shards(self) -> list[str]:
        """The URLs that are asked for.

        Data that are gone after they were extracted are still asked for; UsageError for committed
        shards that are there but asked for no more, because their rows would count.
        """
        known = self._committed()
        try:
            urls = expand(self.data, must_exist=False)
        except UsageError:
            if not known:
                raise
            urls = []
        asked = {shard_id(url) for url in urls}
        left = [url for shard, url in known.items() if shard not in asked]
        there = [url for url, found in fingerprints(left).items() if found is not None]
        if there:
            raise UsageError(
                f"{self.out} holds {len(there)} shards that are not in {without_secrets(self.data)}"
                f", first {there[0]}; delete that folder, or give the audit another --name"
            )
        return [*urls, *left]

    def check(self) -> None:
        """Raises UsageError for shards that are not there, too many, or too late."""
        urls, known = self.shards(), self._committed()
        new = [url for url in urls if shard_id(url) not in known]
        if self.fixed and known and new:
            raise UsageError(
                f"{len(new)} shards came to {without_secrets(self.data)} after the lens was "
                f"calibrated on it, first {without_secrets(new[0])}; a series keeps its lens and "
                "baseline: take them away, or begin a series in another 'out'"
            )

    def _committed(self) -> dict[str, str]:
        return {record["shard"]: record["url"] for record in self.target.each_record()}

    def inputs(self) -> Inputs:
        """What the run's rows depend on."""
        settings, model = self.settings, self.settings.model
        return {
            "shards": self._versions(),
            "model": [model.name, model.pretrained, model.dtype, model.preprocess],
            "weights": fingerprint(model.checkpoint) if model.checkpoint else None,
            "concepts": None if self.lens else settings.concepts,
            "lens": lens_id(self.lens),
            "labels": settings.labels,
            "columns": settings.columns,
            "buckets": settings.buckets,
        }

    def _versions(self) -> dict[str, Any]:
        """Size and version of every shard; of those that are gone, when they were read."""
        urls = self.shards()
        known = {record["shard"]: record.get("source") for record in self.target.each_record()}
        found = fingerprints(urls)
        return {without_secrets(url): found[url] or known.get(shard_id(url)) for url in urls}

    def lacking(self) -> str:
        """How many shards are not done."""
        urls, done = self.shards(), self.target.done()
        waiting = [url for url in urls if shard_id(url) not in done]
        return f"{len(waiting)} of {len(urls)} shards are not done" if waiting else ""

    def run(self) -> Facts:
        """Extract what is missing.

        Raises Incomplete if more shards failed than are allowed.
        """
        from pipelines.extract.job import extract

        before, start = images_of(self.out), time.monotonic()
        failed: list[dict[str, Any]] = []
        try:
            extract(self._plan())
        except Incomplete as error:
            failed = self._allowed(error)
        seconds = time.monotonic() - start
        done = images_of(self.out) - before
        return {"images": done, "seconds": round(seconds, 2), "failed_shards": failed}

    def _allowed(self, error: Incomplete) -> list[dict[str, Any]]:
        """The shards that failed, if they may and nothing else is wrong; else raises `error`."""
        run = self.target
        why = {n.removesuffix(".json"): n for n in run.names("failed", ".json")}
        urls, done = self.shards(), run.done()
        waiting = [shard_id(url) for url in urls if shard_id(url) not in done]
        if not waiting or len(waiting) > self.allowed * len(urls) or not {*waiting} <= {*why}:
            raise error
        return [json.loads(run.read("failed", why[shard])) for shard in waiting]

    def _plan(self) -> Plan:
        settings, how = self.settings, self.settings.run
        given: dict[str, Any] = {"lens": self.lens} if self.lens else {}
        return Plan(
            data=self.data,
            out=self.out,
            model=settings.model.spec,
            concepts=() if self.lens else settings.concepts,
            columns=settings.columns,
            labels=settings.labels,
            bucket=settings.buckets,
            dtype=settings.model.dtype,
            preprocess=settings.model.preprocess,
            batch_size=how.batch_size,
            device=how.device,
            resources=how.resources,
            decode_threads=how.decode_threads,
            in_process=how.in_process,
            lease=how.lease_timeout,
            redo_changed=self.redo_changed,
            **given,
        )


def images_of(run: str) -> int:
    """How many samples a run folder has read so far."""
    return sum(record["read"] for record in Run(run).each_record())


def lens_id(lens: str | None) -> str | None:
    """The id of a lens; None for none."""
    if lens is None:
        return None
    try:
        found = parsed(Run(lens).read("lens.json"), f"{lens.rstrip('/')}/lens.json")
    except FileNotFoundError as error:
        raise UsageError(f"{lens} is not a lens: it has no lens.json") from error
    if not isinstance(found, dict) or not isinstance(known := found.get("id"), str):
        raise UsageError(f"{lens} is damaged: its lens.json has no id; calibrate again")
    return known

"""The driver's part of an extraction: mend the folder, lease the shards, commit what comes back."""

import json
from typing import Any

from pipelines.errors import Incomplete, UsageError
from pipelines.extract.groups import Groups, full_size, sizes_of
from pipelines.extract.settings import Group
from pipelines.io import commit, shards
from pipelines.io.files import write_json
from pipelines.io.store import Run
from pipelines.io.urls import Fingerprint, redact, without_secrets
from pipelines.run import log
from pipelines.run.identity import Job
from pipelines.run.lock import Held
from pipelines.run.runner import Pool, Summary, run
from pipelines.run.watched import Watch

COUNTS = ("read", "written", "rejected")
Sources = dict[str, Fingerprint | None]
Failed = list[tuple[Group, Exception]]


class Work:
    """A locked run folder and what is known of it; holds nothing per image."""

    def __init__(self, target: Run, held: Held, say: Any, job: Job) -> None:
        self.target, self.held, self.say, self.job = target, held, say, job
        self.records: dict[str, commit.Record] = {}
        self.failed_before: set[str] = set()
        self.listed: list[str] = []
        self.done: set[str] = set()
        self.totals = dict.fromkeys(COUNTS, 0)

    def prepare(self, info: dict[str, Any], urls: list[str]) -> None:
        """Mend the folder and write what this run is about."""
        before = self.target.exists("input.json")
        listed = json.loads(self.target.read("input.json")) if before else []
        listed = list(dict.fromkeys([*listed, *map(without_secrets, urls)]))
        write_json(self.target.at("run.json"), info | {"shards": len(listed)})
        write_json(self.target.at("input.json"), listed)
        self.listed = listed
        self.records = commit.recover(self.target, self.say)
        for name in map(without_secrets, urls):
            record = self.records.get(shards.shard_id(name))
            if record is not None and record["url"] != name:
                raise UsageError(
                    f"shard {name} has the id of {record['url']}, which is committed; rename it"
                )
        self.failed_before = set(self.target.names("failed"))

    def changed(self, sources: Sources, redo: bool) -> list[str]:
        """The committed shards whose size or version is another now; forgotten if `redo`.

        What was committed with them is forgotten too, since moments cannot be taken apart.
        """
        now = {shards.shard_id(url): source for url, source in sources.items()}
        changed = [
            shard
            for shard, record in self.records.items()
            if now.get(shard) is not None and now[shard] != record["source"]
        ]
        names = [self.records[shard]["url"] for shard in changed]
        if changed and redo:
            groups = commit.together(self.records, changed)
            mates = [shard for members in groups.values() for shard in members]
            if lacking := [shard for shard in mates if now.get(shard) is None]:
                raise UsageError(
                    f"{len(lacking)} shards that were committed with changed ones are not in "
                    f"--data, or gone, first {self.records[lacking[0]]['url']}; nothing was "
                    "redone, since they would be lost: give them too"
                )
            self.say(f"{len(changed)} shards have changed and are done again, first {names[0]}")
            for moments, members in groups.items():
                commit.forget(self.target, moments, members)
                self.records = {s: r for s, r in self.records.items() if s not in members}
        for record in self.records.values():
            self._count(record)
        return [] if redo else names

    def _count(self, record: dict[str, Any]) -> None:
        self.done.add(record["shard"])
        for name in COUNTS:
            self.totals[name] += record[name]

    def run(self, pool: Pool, sources: Sources, units: dict[str, int]) -> Failed:
        """Do what is not done; return the shards that failed."""
        ids = {shards.shard_id(url): url for url in sources}
        waiting = [pair for pair in ids.items() if pair[0] not in self.done]
        if already := len(ids) - len(waiting):
            self.say(f"{already} already done")
        self.records = {}
        most = full_size(units, len(waiting))
        groups = Groups(waiting, sizes_of(sources), lambda: pool.size, most)
        watch = Watch(self.job, len(waiting))
        before, noted = len(self.done), 0

        def tick(summary: Summary, totals: list[dict[str, Any]]) -> None:
            nonlocal noted
            self.held.check()
            for group, error in summary.failed[noted:]:
                self._note_failure(group, error)
            noted = len(summary.failed)
            watch.update(summary, len(self.done) - before, totals)

        try:
            return run(pool, groups, self._keep, halves, tick, watch.say).failed
        finally:
            watch.close()

    def _keep(self, records: list[dict[str, Any]]) -> None:
        """Commit a group, if the folder is still ours."""
        self.held.check()
        if records and (moments := records[0]["moments"]) and not self.target.exists(moments):
            raise Incomplete(
                f"a worker wrote {moments}, which is not in {self.target.url}: workers and driver "
                "must see the same --out"
            )
        commit.commit(self.target, records)
        for record in records:
            self._count(record)
            told = {name: record[name] for name in ("shard", *COUNTS)}
            log.event("shard_committed", f"{record['shard']} committed", **told)
            if (name := f"{record['shard']}.json") in self.failed_before:
                self.target.delete("failed", name)

    def _note_failure(self, group: Group, error: Exception) -> None:
        for shard, url in group.shards:
            why = redact(f"{type(error).__name__}: {error}")
            found = {"shard": shard, "url": without_secrets(url), "error": why}
            write_json(self.target.at("failed", f"{shard}.json"), found)
            log.event("shard_given_up", f"{shard} is given up: {why}", "error", **found)

    def close(self, failed: Failed, changed: list[str], asked: int) -> dict[str, int]:
        """The folder's totals; Incomplete if shards failed or committed ones have changed."""
        if failed:
            group, error = failed[0]
            raise Incomplete(
                f"{len(failed)} of {asked} shards failed, first "
                f"{without_secrets(group.shards[0][1])} ({error}); the rest is committed: mend the "
                "cause and run the same command again, or see nhd status --run "
                f"{self.target.url}"
            )
        if changed:
            raise Incomplete(
                f"{len(changed)} committed shards have changed since, first {changed[0]}; their "
                "rows are those of the old content: run the same command with --redo-changed"
            )
        undone = [url for url in self.listed if shards.shard_id(url) not in self.done]
        if undone:
            raise Incomplete(
                f"{len(undone)} shards that were asked for before are not done, first {undone[0]}; "
                "run the command with them in --data"
            )
        return dict(self.totals)


def halves(group: Group) -> list[Group]:
    """A group in two, so that a shard which kills its workers is found in few steps."""
    middle = len(group.shards) // 2
    parts = (group.shards[:middle], group.shards[middle:])
    return [Group(part) for part in parts if part]

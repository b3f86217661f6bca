"""Progress and health of a run folder, from the folder alone."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from pipelines.io.consistency import checked
from pipelines.io.shards import shard_id
from pipelines.io.store import Run
from pipelines.run import holder
from pipelines.run.identity import run_id
from pipelines.tables import manifest

PHASES = ("read", "decode", "forward", "write")


def status(url: str, check: bool = False) -> dict[str, Any]:
    """Shards done, failed and waiting; images; rejects by reason; time by phase; the lock.

    With `check`, every file is read again: `problems` has a sentence for each that is not what
    the commit records say, `unfinished` the paths of those that a run has yet to commit. Raises
    UsageError if the folder is not a run.
    """
    run = Run(url)
    info = run.info
    wanted = {shard_id(u): u for u in json.loads(run.read("input.json"))}
    done = run.done()
    records = run.records() if done else []
    failed = [json.loads(run.read("failed", name)) for name in run.names("failed", ".json")]
    reasons: Counter[str] = Counter()
    for record in records:
        reasons.update(record["reasons"])
    return {
        "run": url,
        "id": run_id(run),
        "model": info["model"],
        "complete": set(wanted) <= done,
        "running": holder.living(run) is not None,
        "shards": {
            "all": len(wanted),
            "done": len(set(wanted) & done),
            "failed": [why for why in failed if why["shard"] not in done],
            "waiting": len(set(wanted) - done),
        },
        **{name: sum(r[name] for r in records) for name in ("read", "written", "rejected")},
        "reasons": dict(reasons.most_common()),
        "seconds": {p: round(sum(r["seconds"][p] for r in records), 1) for p in PHASES},
        "tables": manifest.summary(run, records),
        **(_read_again(run, wanted) if check else {}),
    }


def _read_again(run: Run, wanted: Collection[str]) -> dict[str, list[str]]:
    found = checked(run, wanted)
    problems = [*found.problems, *manifest.problems(run)]
    return {"problems": problems, "unfinished": found.unfinished}


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    shards = found["shards"]
    state = "complete" if found["complete"] else "running" if found["running"] else "not complete"
    text = [
        f"{found['run']}: {state}, {shards['done']} of {shards['all']} shards done",
        f"{found['written']} images written, {found['rejected']} rejected, {found['read']} read",
    ]
    text += [f"  rejected {count}: {reason}" for reason, count in found["reasons"].items()]
    text += [f"  failed {why['url']}: {why['error']}" for why in shards["failed"]]
    spent = ", ".join(f"{phase} {value} s" for phase, value in found["seconds"].items())
    text.append(f"time of the workers: {spent}")
    if found["tables"]["groups"] or found["tables"]["stale"]:
        text.append(_tables(found["tables"]))
    if "problems" in found:
        text += found["problems"] or ["every file is what the commit records say"]
        text += _unfinished(len(found["unfinished"]), found["running"])
    if not found["complete"] and not found["running"]:
        text.append("run the same nhd extract command again to do the rest")
    return text


def _unfinished(files: int, running: bool) -> list[str]:
    if not files:
        return []
    why = "which go on" if running else "which the next run finishes or makes anew"
    return [f"besides, {files} files of shards that are not committed, {why}; nobody reads them"]


def _tables(found: dict[str, int]) -> str:
    text = f"tables hold {found['shards']} of {found['shards'] + found['raw']} shards"
    if not found["raw"] and not found["stale"]:
        return text
    stale = f" ({found['stale']} stale)" if found["stale"] else ""
    return f"{text}{stale}; nhd compact brings them up to date, until then the rest is read raw"

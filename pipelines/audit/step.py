"""A step of an audit: done once, and again only if what it is made from has changed.

What is done is noted beside its output, with a fingerprint of every input.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.audit.series import Series

Inputs = Mapping[str, Any]
Facts = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step; `inputs` and `lacking` are asked only when the steps in `after` are done."""

    name: str
    note: tuple[str, ...]
    """Where it is noted in the series that it is done."""
    inputs: Callable[[], Inputs]
    """Everything that its output depends on, by name."""
    lacking: Callable[[], str]
    """What of its output is not there; "" if nothing."""
    run: Callable[[], Facts]
    """Do it, or what is left of it; returns what is worth noting."""
    after: tuple[str, ...] = ()
    check: Callable[[], object] = lambda: None
    """Raises UsageError for what can be seen to be wrong before anything is done."""
    cluster: bool = True
    """Does it use Ray?"""


@dataclass(frozen=True)
class State:
    """Why a step has to be done, "" if it is; and what it would be noted with."""

    why: str
    inputs: dict[str, str]


def state_of(series: Series, step: Step) -> State:
    """How a step stands; the steps it comes after must be done."""
    now = {name: digest(value) for name, value in step.inputs().items()}
    note = series.load(*step.note)
    lacking = step.lacking()
    if note is None:
        return State(lacking or "there is no note that it was finished", now)
    changed = sorted(
        name for name in {*now, *note["inputs"]} if now.get(name) != note["inputs"].get(name)
    )
    return State(f"changed since: {', '.join(changed)}" if changed else lacking, now)


def finish(series: Series, step: Step, state: State) -> Facts:
    """Run a step and note that it is done; return its facts."""
    facts = step.run()
    series.save({"inputs": state.inputs, **facts}, *step.note)
    return facts


def digest(value: Any) -> str:
    """SHA-256 of anything that JSON can tell, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_run(url: str) -> str:
    """SHA-256 of what a run holds: its configuration, and the checksums in its commit records."""
    from pipelines.io.store import Run

    run, found = Run(url), hashlib.sha256()
    info = run.info
    kept = {name: info.get(name) for name in ("weights_sha256", "preprocess_id", "lens")}
    found.update(digest(kept | {"concepts": info["concepts"]}).encode())
    for record in run.each_record():
        files = {kind: file["sha256"] for kind, file in record.get("files", {}).items()}
        counts = [record["shard"], record["read"], record["written"], record["reasons"]]
        found.update(digest([counts, files]).encode())
    return found.hexdigest()

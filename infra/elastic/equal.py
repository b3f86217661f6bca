"""Is what the cluster made the same as what one process makes of the same files?

Rows and rejects must be the same, once each, and coefficients and embeddings equal bit by bit:
an image meets the same arithmetic in the same batch wherever it is worked on. Moments are sums
over shards, and the order of adding up depends on who finished when, so they may differ by
rounding; so may what the verdict computes from rows in float64.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.elastic.data import WEEK
from pipelines.bench.difference import Difference, difference
from pipelines.io.store import Run

ROUNDING = 1e-9
"""Relative to the largest value of its kind."""
RUNS = {"baseline": "baseline/run", "week": f"audits/{WEEK}/run"}
TELLING = ("state", "sentence", "causes", "follows", "images", "read", "rejects", "auc")
"""What is compared of verdicts, beside what was held against each limit."""


@dataclass(frozen=True)
class Compared:
    """One run folder of both audits."""

    name: str
    rows: tuple[int, int]
    """Of the cluster, of one process."""
    rejects: tuple[int, int]
    difference: Difference

    @property
    def problems(self) -> list[str]:
        """What differs, in words."""
        found = vars(self.difference) | {"moments": 0}
        wrong = [f"{self.name}: {name} {count}, not 0" for name, count in found.items() if count]
        if self.difference.moments > ROUNDING:
            wrong.append(f"{self.name}: moments differ by {self.difference.moments:.1e}")
        if self.rows[0] != self.rows[1]:
            wrong.append(f"{self.name}: {self.rows[0]} rows, not {self.rows[1]}")
        if self.rejects[0] != self.rejects[1]:
            wrong.append(f"{self.name}: {self.rejects[0]} rejects, not {self.rejects[1]}")
        return wrong


def compare(cluster: str, alone: str) -> list[Compared]:
    """Compare the run folders of two audits, given the folders of their series."""
    found = []
    for name, path in RUNS.items():
        there, here = Run(f"{cluster}/{path}"), Run(f"{alone}/{path}")
        rows = counted(there, "written"), counted(here, "written")
        rejects = counted(there, "rejected"), counted(here, "rejected")
        found.append(Compared(name, rows, rejects, difference(here, there, base_name)))
    return found


def counted(run: Run, kind: str) -> int:
    """Rows (`written`) or rejects (`rejected`), as the commit records have them."""
    return sum(record[kind] for record in run.each_record())


def base_name(shard: str) -> str:
    """A shard's id without the digits that stand for its URL."""
    return shard.rpartition("-")[0]


def unlike_verdicts(cluster: str, alone: str) -> list[str]:
    """A sentence for each thing that two verdicts do not agree on."""
    left, right = (told(Run(folder)) for folder in (cluster, alone))
    return [f"verdict: {why}" for why in unlike(left, right)]


def told(series: Run) -> dict[str, Any]:
    """What a verdict says that must not depend on where it was reached."""
    verdict = json.loads(series.read("audits", WEEK, "verdict.json"))
    return {name: verdict[name] for name in (*TELLING, "thresholds")}


def unlike(left: Any, right: Any, place: str = "") -> Iterator[str]:
    """Where two values of JSON differ by more than rounding."""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        for name in left:
            yield from unlike(left[name], right[name], f"{place} {name}".strip())
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, pair in enumerate(zip(left, right, strict=True)):
            yield from unlike(*pair, f"{place} {i}")
    elif isinstance(left, float) and isinstance(right, float):
        if abs(left - right) > ROUNDING * max(1.0, abs(right)):
            yield f"{place} is {left}, not {right}"
    elif left != right:
        yield f"{place} is {left!r}, not {right!r}"

"""A report of runs with hostile keys, whose shards hold a different image for every sample."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipelines.analyse.compare import ComparePlan, compare
from pipelines.io.files import write_parquet
from pipelines.io.shards import Sample, samples, write
from pipelines.io.store import REJECTS, Run
from tests.synthetic_run import make_run

N = 400
STARTS = ("../../", "/etc/", "=1+1", "+2", "-3", "@sum", "＝4", " =5", "über/", 'a"b,', "plain")
BROKEN = b"\xff\xd8 no JPEG after all"


def hostile_keys(n: int = N) -> list[str]:
    """Every key is in both shards of a run."""
    return [f"{STARTS[i % len(STARTS)]}{i}" for i in range(n // 2)] * 2


def make_report(folder: Path) -> str:
    """Baseline and current, with rejects, compared; yellow things became frequent.

    The runs are named from their own folder, as nobody's exports know it.
    """
    one = make_run(folder / "one", N, seed=1, keys=hostile_keys(), fit=True)
    other = make_run(folder / "other", N, 2, {"yellow": 5}, keys=hostile_keys(), rejected=3)
    for run in (Run(one), Run(other)):
        for url in run.shard_urls.values():
            make_distinct(url)
    for shard, url in Run(other).shard_urls.items():
        first = next(s.key for s in samples(url) if isinstance(s, Sample))
        add_rejects(Run(other), shard, [("broken", "undecodable_image", "=cut off"),
                                        ("broken", "duplicate_key", "twice"),
                                        (first, "duplicate_key", "twice")])  # fmt: skip
    with contextlib.chdir(folder):
        compare(ComparePlan("report", "one", "other"))
    return str(folder / "report")


def make_distinct(url: str) -> None:
    """Write the shard anew: something after each image, which decoders ignore, and a broken one."""
    kept = [s for s in samples(url) if isinstance(s, Sample)]
    members = [(f"{s.key}.jpg", s.image + f"{url} {s.key}".encode()) for s in kept]
    write(url, [*members, ("broken.jpg", BROKEN + url.encode())])


def add_rejects(run: Run, shard: str, rejects: Sequence[tuple[str, str, str]]) -> None:
    """The rejects (key, reason, detail) of one shard."""
    rows = [(shard, key, "", reason, detail) for key, reason, detail in rejects]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=REJECTS)
    write_parquet(run.at("rejects", f"{shard}.parquet"), table)

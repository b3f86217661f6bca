"""The images of the proof, and the audit's configuration: the same on disk and in the store."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.io import shards
from pipelines.tiny.dataset import write_scenes

WEEK = "2026-W09"
BROKEN = [("broken.jpg", b"\xff\xd8 no more"), ("none.json", b"{}")]
CONFIG = """\
audit: Elastic
out: audits
input: "scenes/{{name}}/*.tar"
name: "{week}"
concepts: [yellow, red, car, tree]
labels: [yellow, car]
columns: [year]
baseline: {{reference: "scenes/reference/*.tar"}}
lens: none
run: {{in_process: {in_process}}}
"""


@dataclass(frozen=True)
class Sizes:
    """How many images there are, and how they are packed."""

    reference: int = 1200
    week: int = 6000
    per_shard: int = 60

    @property
    def shards(self) -> int:
        """Shards of the week."""
        return -(-self.week // self.per_shard)


def draw(folder: Path, sizes: Sizes) -> None:
    """Draw the reference and a week of scenes; every tenth shard has two unusable samples."""
    for seed, (name, count) in enumerate([("reference", sizes.reference), (WEEK, sizes.week)]):
        urls = write_scenes(
            str(folder / "scenes" / name), count, seed=seed, per_shard=sizes.per_shard
        )
        for url in urls[::10]:
            spoil(url)


def spoil(url: str) -> None:
    """Add a broken image and a sample without one."""
    found = [sample for sample in shards.samples(url) if isinstance(sample, shards.Sample)]
    members = [
        member
        for sample in found
        for member in (
            (f"{sample.key}.jpg", sample.image),
            (f"{sample.key}.json", (sample.meta or "{}").encode()),
        )
    ]
    shards.write(url, [*members, *BROKEN])


def configure(in_process: bool) -> str:
    """The configuration of the audit, for a folder that holds scenes."""
    return CONFIG.format(week=WEEK, in_process=str(in_process).lower())

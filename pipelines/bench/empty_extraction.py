"""An extraction whose workers have no model: what is left is the driver's work and the commits.

Run as `python -m pipelines.bench.empty_extraction PATTERN OUT`; the last line it prints is the CPU
time of the driver in seconds, that of all its threads included.
"""

import sys
import time
from typing import Any

from pipelines.extract.job import extract
from pipelines.extract.plan import Plan
from pipelines.extract.settings import Group, Settings
from pipelines.extract.shard_files import ShardFiles
from pipelines.io import rows
from pipelines.io.files import atomic_write
from pipelines.io.store import Run
from pipelines.io.urls import fingerprint
from pipelines.model_spec import ModelSpec
from pipelines.run.progress import PHASES
from pipelines.run.resources import Resources
from pipelines.run.runner import Done

UNITS = {"heads": 8, "neurons": 512, "pairs": 4096, "width": 128}  # the tiny model's


class Writer:
    """A worker that writes what extraction writes of a shard without samples, and no moments.

    The moments file is there, since the driver looks for it, but has no content.
    """

    def __init__(self, settings: Settings) -> None:
        self.run = Run(settings.out)
        self.written = 0

    def describe(self) -> dict[str, Any]:
        """As an Extractor would."""
        return {
            "weights_sha256": "",
            "preprocess_id": "",
            "units": UNITS,
            "concept_pairs": [],
        }

    def progress(self) -> dict[str, Any]:
        """As an Extractor would."""
        seconds = dict.fromkeys(PHASES, 0.0)
        return {"images": self.written, "rejects": 0, "seconds": seconds, "notes": []}

    def work(self, group: Group) -> Done:
        """Write the files of a group."""
        name = f"moments/{group.shards[0][0]}.safetensors"
        more = {"moments": name, "group": [shard for shard, _ in group.shards]}
        records = [self._shard(shard, url) | more for shard, url in group.shards]
        atomic_write(self.run.at(name), b"")
        return Done(records)

    def _shard(self, shard: str, url: str) -> dict[str, Any]:
        found = ShardFiles(self.run, shard, rows.Layout({}, ()), {}).finish()
        self.written += 1
        seconds = dict.fromkeys(PHASES, 0.0)
        return found | {"url": url, "source": fingerprint(url), "seconds": seconds, "batch_size": 1}


if __name__ == "__main__":
    extract(Plan(sys.argv[1], sys.argv[2], ModelSpec(), resources=Resources(1)), Writer)
    print(time.process_time())

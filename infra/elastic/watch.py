"""What the store tells of the audit while it goes on: which shards are committed, and by whom."""

import contextlib
import json
from collections import Counter

import fsspec

from infra.elastic.data import WEEK


class Watch:
    """The commit records of the week, each read once."""

    def __init__(self, series: str) -> None:
        self.fs, path = fsspec.core.url_to_fs(series)
        self.folder = f"{path}/audits/{WEEK}/run/shards"
        self.images: dict[str, int] = {}
        self.hosts: dict[str, str] = {}

    def look(self) -> None:
        """Read the records that have come; a store that does not answer is asked another time."""
        with contextlib.suppress(OSError):
            self.fs.invalidate_cache()
            there = set(self.fs.ls(self.folder, detail=False))
            for path in sorted(there - self.hosts.keys()):
                record = json.loads(self.fs.cat_file(path))
                self.images[path], self.hosts[path] = record["read"], record["host"]

    @property
    def done(self) -> int:
        """Committed shards."""
        return len(self.hosts)

    def shards_of(self, host: str) -> int:
        """Committed shards that a node has done."""
        return sum(found == host for found in self.hosts.values())

    def by_node(self) -> dict[str, int]:
        """Samples that each node has read, of what is committed."""
        found: Counter[str] = Counter()
        for path, host in self.hosts.items():
            found[host] += self.images[path]
        return dict(sorted(found.items()))

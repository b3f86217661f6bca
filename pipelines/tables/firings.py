"""The firings of many images, inverted: sorted by pair, the strongest of each pair first.

Every kept pair of every image is one row: pair, coefficient, shard, key. Sorting goes by ranges
of pairs, so that besides the rows themselves (8 bytes a firing) only one range is in memory.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ShardError
from pipelines.io.files import parquet_writer

ROW_GROUP = 1 << 17  # rows: one pair lies in one or two of them, and statistics skip the others
PAGE = 1 << 17  # bytes: so that of those only a part is decompressed
RANGE = 1 << 22  # firings that are sorted at a time
SCHEMA = pa.schema(
    [
        ("pair", pa.int32()), ("coefficient", pa.float32()), ("shard", pa.string()),
        ("key", pa.string()),
    ]
)  # fmt: skip


class _Part(NamedTuple):
    """Consecutive images."""

    first: int
    """Number of the first one."""
    offsets: np.ndarray
    """[n+1] int64: where each image's pairs begin in the two below."""
    pairs: np.ndarray
    """int32"""
    coefficients: np.ndarray
    """fp32"""


class Firings:
    """Gathers the pairs of images, and writes them by pair."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.shards: list[pa.Array] = []
        self.keys: list[pa.Array] = []
        self.images = self.count = 0

    def add(self, rows: pa.Table) -> None:
        """Append images: the columns shard, key, pairs and coefficients of a run.

        Raises ShardError if an image has not as many coefficients as pairs.
        """
        pairs, values = (rows[name].combine_chunks() for name in ("pairs", "coefficients"))
        if not pairs.value_lengths().equals(values.value_lengths()):
            raise ShardError("an image has not as many coefficients as pairs")
        lengths = pairs.value_lengths().to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        # Copies, since a view would keep every column of the rows in memory.
        flat = [
            column.flatten().to_numpy(zero_copy_only=False).copy() for column in (pairs, values)
        ]
        self.parts.append(_Part(self.images, offsets, *flat))
        self.shards.append(rows["shard"].combine_chunks().dictionary_encode())
        self.keys.append(rows["key"].combine_chunks())
        self.images += len(rows)
        self.count += int(offsets[-1])

    def write(self, path: str, metadata: dict[bytes, bytes] | None = None) -> int:
        """Write a Parquet file at a local path; the number of its rows."""
        shards = pa.chunked_array(self.shards).cast(pa.string()).combine_chunks()
        keys = pa.chunked_array(self.keys, pa.string()).combine_chunks()
        written = 0
        with parquet_writer(
            path,
            SCHEMA.with_metadata(metadata),
            use_dictionary=["shard"],  # of keys it saves no bytes and is slower to skip in
            write_statistics=["pair"],
            data_page_size=PAGE,
            sorting_columns=pq.SortingColumn.from_ordering(SCHEMA, [("pair", "ascending")]),
        ) as writer:
            for pairs, values, images in self._ranges():
                for start in range(0, len(pairs), ROW_GROUP):
                    part = slice(start, start + ROW_GROUP)
                    chosen = pa.array(images[part])
                    columns = [pairs[part], values[part], shards.take(chosen), keys.take(chosen)]
                    writer.write_table(pa.table(columns, schema=writer.schema))
                    written += len(chosen)
        return written

    def _ranges(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Pair, coefficient and image number of all firings, range of pairs by range."""
        for low, high in zip(cuts := self._cuts(), cuts[1:], strict=False):
            found = [_between(part, low, high) for part in self.parts]
            pairs, values, images = (np.concatenate(column) for column in zip(*found, strict=True))
            # One number sorts by pair, then by |coefficient| downwards: the bits of a positive
            # float rise with it. A stable sort leaves ties in order of the images.
            strength = np.abs(values).view(np.uint32) ^ np.uint32(0xFFFFFFFF)
            order = np.argsort(pairs.astype(np.uint64) << 32 | strength, kind="stable")
            yield pairs[order], values[order], images[order]

    def _cuts(self) -> list[int]:
        """Limits of ranges of pairs that hold about RANGE firings each."""
        most = max((int(p.pairs.max()) for p in self.parts if len(p.pairs)), default=-1) + 1
        counts = np.zeros(most, np.int64)
        for part in self.parts:
            counts += np.bincount(part.pairs, minlength=most)
        totals = np.cumsum(counts)
        steps = np.arange(RANGE, self.count, RANGE)
        return sorted({0, most, *np.searchsorted(totals, steps).tolist()})


def _between(part: _Part, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair, coefficient and image number of a part's firings of low ≤ pair < high."""
    places = np.flatnonzero((part.pairs >= low) & (part.pairs < high))
    images = np.searchsorted(part.offsets, places, side="right") - 1 + part.first
    return part.pairs[places], part.coefficients[places], images.astype(np.int32)

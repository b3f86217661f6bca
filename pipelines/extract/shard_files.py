"""The files of one shard: rows and rejects, gathered batch by batch and written at its end."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.io import rows
from pipelines.io.files import ROW_GROUP, ParquetBuffer, atomic_write, sha256, write_parquet
from pipelines.io.rejects import Reject
from pipelines.io.store import REJECTS, Run

AT_ONCE = 1 << 28  # bytes of rows that are kept before they are encoded


class ShardFiles:
    """What is known of a shard so far; only the encoded form of its rows stays in memory."""

    def __init__(
        self, run: Run, shard: str, layout: rows.Layout, provenance: dict[str, Any]
    ) -> None:
        self.run, self.shard, self.layout, self.provenance = run, shard, layout, provenance
        self.images = ParquetBuffer(layout.schema(), provenance)
        self.waiting: list[rows.Batch] = []
        self.weight = 0
        self.written = 0
        self.rejects: list[Reject] = []

    def add(self, batch: rows.Batch | None, rejects: list[Reject]) -> None:
        """Append rows and rejects, in the order they were read."""
        self.rejects += rejects
        if batch is None:
            return
        self.waiting.append(batch)
        self.written += len(batch.samples)
        self.weight += _weight(batch)
        if self.weight > AT_ONCE or sum(len(b.samples) for b in self.waiting) >= ROW_GROUP:
            self._encode()

    def _encode(self) -> None:
        self.images.add(rows.table(self.shard, self.waiting, self.layout))
        self.waiting, self.weight = [], 0

    def finish(self) -> dict[str, Any]:
        """Write both files (rejects only where there are any); return the counts of the record."""
        if self.waiting or not self.written:
            self._encode()
        files = {"images": self._written("images", self.images.finish())}
        if self.rejects:
            files["rejects"] = self._written("rejects", None)
        return {
            "shard": self.shard,
            "read": self.written + len(self.rejects),
            "written": self.written,
            "rejected": len(self.rejects),
            "reasons": dict(Counter(reject.reason for reject in self.rejects)),
            "files": files,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _written(self, kind: str, data: bytes | None) -> dict[str, Any]:
        path = f"{kind}/{self.shard}.parquet"
        if data is None:
            data = write_parquet(self.run.at(path), self._rejects(), self.provenance)
        else:
            atomic_write(self.run.at(path), data)
        return {"path": path, "bytes": len(data), "sha256": sha256(data)}

    def _rejects(self) -> pa.Table:
        listed = [(self.shard, r.key, r.stage, r.reason, r.detail) for r in self.rejects]
        columns = [pa.array(column, pa.string()) for column in zip(*listed, strict=True)]
        return pa.Table.from_arrays(columns, schema=REJECTS)


def _weight(batch: rows.Batch) -> int:
    """Bytes that a batch of rows holds, about."""
    tensors = [batch.embedding, batch.pairs, batch.coefficients, batch.dense]
    numbers = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    return numbers + sum(len(sample.meta or "") for sample in batch.samples)
